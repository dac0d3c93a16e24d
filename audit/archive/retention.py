"""Months that are older than their table's retention leave it, in steps that stand days apart.

    attached → DETACHED → EXPORTED → at least 7 days → DROPPED → gone

A step commits its decision (ArchivedMonth) together with its audit entry and then does what was decided; what a killed
run left undone the next one finishes, because where a month is says the catalogue. Detaching and exporting may follow
each other in one run. A month is dropped only when its copy, read again from the archive, is right, no legal hold is
over it, and, for the log, the entry that names what is gone is itself under a signed and published checkpoint; so the
table goes one run later than the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, connections

from audit import places
from audit.actors import Actor
from audit.archive import steps
from audit.archive.bundles import NothingSealed
from audit.archive.files import FolderExists
from audit.archive.plan import Due, Step, next_step, overdue, plan
from audit.archive.steps import Held
from audit.places import ArchiveFailed, CopyDiffers
from audit.services import AuditUnavailable
from audit.verification.findings import CannotDecide
from forge.db.jobs import JobFault
from forge.db.locks import advisory_key
from forge.db.models import ArchivedMonth, JobRun

JOB = "retire_months"
LOCK_KEY = advisory_key("audit.archive.retention")
LOCK_SECONDS = 3


class Busy(Exception):
    """Another run is at work."""


class NotExported(Exception):
    """The month has no copy that could be made again; the message names it."""


@dataclass
class Done:
    """What a run did, by step and partition, and what stopped it."""

    taken: dict[Step, list[str]] = field(default_factory=lambda: {step: [] for step in Step})
    faults: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """As a JobRun keeps them: how many of each step, and the faults where there are any."""
        counts: dict[str, Any] = {step.value: len(partitions) for step, partitions in self.taken.items()}
        return counts | ({"faults": "; ".join(self.faults)} if self.faults else {})


def take_steps(*, actor: Actor, now: datetime) -> Done:
    """Take every step that is due at `now`, month by month; the trouble of one does not stop the others.

    Raises Busy, ImproperlyConfigured. Never inside a transaction.
    """
    done = Done()
    with alone():
        now = min(now, _database_time())  # a clock that runs ahead must not make a month older than it is
        for due in plan(now):
            _follow(due, actor, now, done)
    return done


def retire_months(*, actor: Actor, now: datetime) -> dict[str, Any]:
    """The job: take_steps(); returns figures, raises JobFault when something was not done that must be."""
    done = take_steps(actor=actor, now=now)
    if done.faults:
        raise JobFault("; ".join(done.faults), done.figures())
    return done.figures()


def export_again(partition: str, *, actor: Actor, now: datetime) -> Done:
    """Copy an exported month anew. Raises NotExported, and as take_steps() does."""
    done = Done()
    with alone():
        now = min(now, _database_time())
        found = [due for due in plan(now) if due.partition == partition and due.step is Step.DROP and not due.faults]
        if not found:
            raise NotExported(f"{partition} is no month that was exported and not dropped yet.")
        _attempt(found[0], partial(steps.export_again, found[0], actor=actor, now=now), Step.EXPORT, done)
    return done


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the runners on a connection of its own; raises Busy after LOCK_SECONDS."""
    wrapper = connections.create_connection("owner")
    try:
        wrapper.ensure_connection()
        held: psycopg.Connection = wrapper.connection
        held.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
        try:
            held.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        except psycopg.errors.LockNotAvailable:
            raise Busy("Another run retires months.") from None
        yield
    finally:
        wrapper.close()


def unarchived(now: datetime) -> list[str]:
    """That months are past their retention and nothing may take them; empty when all is well."""
    if places.configured() is not None or not (months := overdue(now)):
        return []
    return [f"{len(months)} months are past their retention, first {months[0]}, and FORGE_ARCHIVE is not set"]


def problems(now: datetime) -> list[str]:
    """What /readyz shows, without a look at rows or copies: nothing may take what is due, or the last run failed."""
    try:
        found = unarchived(now)
    except ImproperlyConfigured as error:
        return [str(error)]
    run = JobRun.objects.filter(job=JOB).exclude(outcome=JobRun.Outcome.RUNNING).order_by("-slot").first()
    if run is not None and run.outcome == JobRun.Outcome.FAILED:
        found.append(f"months could not be retired; the job run of {JOB} says why")
    return found


def _follow(due: Due | None, actor: Actor, now: datetime, done: Done) -> None:
    """Take the steps of one month until one has to wait; what goes wrong is a fault of this month alone."""
    while due is not None:
        if due.faults:
            done.faults.append(f"{due.partition}: {'; '.join(due.faults)}")
        if not due.is_ready:
            return
        record = _attempt(due, partial(steps.take, due, actor=actor, now=now), due.step, done)
        due = next_step(due.policy, record, now) if record is not None else None


def _attempt(due: Due, work: Callable[[], ArchivedMonth], step: Step, done: Done) -> ArchivedMonth | None:
    try:
        record = work()
    except (
        CopyDiffers, ArchiveFailed, FolderExists, NothingSealed, Held, CannotDecide, AuditUnavailable, DatabaseError
    ) as error:  # fmt: skip
        done.faults.append(f"{due.partition}: {step} failed: {' '.join(str(error).split())}")
        return None
    done.taken[step].append(due.partition)
    return record


def _database_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at
