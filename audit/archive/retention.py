"""Months that are older than their table's retention leave it, in steps that stand days apart.

    attached → DETACHED → EXPORTED → at least 7 days → DROPPED → gone

A step commits its decision (ArchivedMonth) together with its audit entry and then does what was decided; what a killed
run left undone the next one finishes, because where a month is says the catalogue. Detaching and exporting may follow
each other in one run. A month is dropped only when its copy, read again from the archive, is right, no legal hold is
over it, and, for the log, the entry that names what is gone is itself under a signed and published checkpoint; so the
table goes one run later than the decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, connections, transaction

from audit import actions, holds
from audit.actors import Actor
from audit.archive import copies, places
from audit.archive.bundles import NothingSealed
from audit.archive.files import FolderExists
from audit.archive.parquet import CopyDiffers
from audit.archive.places import Archive, ArchiveFailed
from audit.archive.policies import Policy, policies
from audit.receipts import Receipt
from audit.sealing import seals
from audit.services import record
from audit.verification import dropped
from audit.verification.findings import CannotDecide
from forge.db import detached, partitions
from forge.db.detached import Place
from forge.db.jobs import JobFault
from forge.db.locks import advisory_key
from forge.db.models import ArchivedMonth
from forge.db.months import add_months, month_of

JOB = "retire_months"
LOCK_KEY = advisory_key("audit.archive.retention")
LOCK_SECONDS = 3

LEAST_AGE = timedelta(days=7)
"""So long a copy stands in the archive before its month is dropped."""

State = ArchivedMonth.State


class Busy(Exception):
    """Another run is at work."""


class Step(StrEnum):
    DETACH = "detach"
    EXPORT = "export"
    DROP = "drop"
    REMOVE = "remove"


@dataclass(frozen=True)
class Due:
    """The next step of a month. `waits` say why it is not taken yet, `faults` what somebody must see to."""

    policy: Policy
    partition: str
    month: Any
    step: Step
    record: ArchivedMonth | None = None
    waits: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return not self.waits and not self.faults

    def __str__(self) -> str:
        reasons = "; ".join([*self.faults, *self.waits])
        return f"{self.step} {self.partition}" + (f": not yet, {reasons}" if reasons else "")


@dataclass
class Done:
    """What a run did, by partition, and what stopped it."""

    detached: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """As a JobRun keeps them: how many of each, and the faults where there are any."""
        counts = {name: len(value) for name, value in vars(self).items() if name != "faults"}
        return counts | ({"faults": "; ".join(self.faults)} if self.faults else {})


def run(*, actor: Actor, now: datetime) -> Done:
    """Take every step that is due at `now`, month by month; the table of one month's trouble does not stop the others.

    Raises JobFault at the end when something could not be done that must be, Busy, ImproperlyConfigured. Never inside
    a transaction.
    """
    done = Done()
    with alone():
        now = min(now, _database_time())  # a clock that runs ahead must not make a month older than it is
        for due in plan(now):
            _follow(due, actor, now, done)
    if done.faults:
        raise JobFault("; ".join(done.faults), done.figures())
    return done


def plan(now: datetime) -> list[Due]:
    """The next step of each month that is past its retention, the oldest first; changes nothing."""
    return [due for policy in policies() for due in _plan(policy, now)]


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


def is_past_retention(policy: Policy, month: Any, now: datetime) -> bool:
    """Whether the whole month is older than the months that are kept; the current one does not count as kept."""
    return add_months(month, 1 + policy.months) <= month_of(now)


def _plan(policy: Policy, now: datetime) -> Iterator[Due]:
    records = {one.month: one for one in ArchivedMonth.objects.filter(table=policy.table)}
    present = partitions.attached(policy.table, using="default")
    attached = {one.first: one for one in present if one.first is not None}
    for month in sorted(records.keys() | attached.keys()):
        if month in records:
            if (due := _of_record(policy, records[month], now)) is not None:
                yield due
        elif is_past_retention(policy, month, now):
            held = attached[month]
            faults = () if held.end == add_months(month, 1) else ("it holds more than one month",)
            waits = tuple(policy.hindrances(month, add_months(month, 1))) + _without_archive()
            yield Due(policy, held.name, month, Step.DETACH, None, waits, faults)


def _of_record(policy: Policy, record: ArchivedMonth, now: datetime) -> Due | None:
    """The next step of a month that is on its way; None when it has arrived."""
    place = detached.place_of(record.table, record.month, record.partition, using="default")
    facts = (policy, record.partition, record.month)
    if record.state == State.DROPPED:
        if place is Place.NOWHERE:
            return None
        return Due(*facts, Step.REMOVE, record, _waits(policy, record, now), _unless(place, Place.DETACHED))
    if record.state == State.EXPORTED:
        return Due(*facts, Step.DROP, record, _waits(policy, record, now), _unless(place, Place.DETACHED))
    if place is Place.DETACHED:
        return Due(*facts, Step.EXPORT, record, _without_archive())
    return Due(*facts, Step.DETACH, record, (), ("its table is gone",) if place is Place.NOWHERE else ())


def _unless(place: Place, wanted: Place) -> tuple[str, ...]:
    return () if place is wanted else (f"its table should be detached, and is {place.value}",)


def _without_archive() -> tuple[str, ...]:
    return () if places.configured() else ("FORGE_ARCHIVE is not set",)


def _waits(policy: Policy, record: ArchivedMonth, now: datetime) -> tuple[str, ...]:
    """Why an exported month is not dropped yet, or a dropped one not removed."""
    found = list(_without_archive())
    if record.exported_at is not None and now < record.exported_at + LEAST_AGE:
        found.append(f"its copy must stand until {record.exported_at + LEAST_AGE:%Y-%m-%d %H:%M} UTC")
    found += policy.hindrances(record.month, add_months(record.month, 1))
    if policy.is_sealed and record.drop_receipt and not _is_published(Receipt.parse(record.drop_receipt)):
        found.append("the entry that drops it is not under a signed and published checkpoint yet")
    return tuple(found)


def _is_published(receipt: Receipt) -> bool:
    try:
        proof = seals.prove(receipt)
    except seals.NotSealedYet:
        return False
    return proof.checkpoint.publications.exists()


def _follow(due: Due | None, actor: Actor, now: datetime, done: Done) -> None:
    """Take the steps of one month until one has to wait; what goes wrong is a fault of this month alone."""
    while due is not None:
        if due.faults:
            done.faults.append(f"{due.partition}: {'; '.join(due.faults)}")
        if not due.is_ready:
            return
        try:
            record = _TAKE[due.step](due, actor, now)
        except (
            CopyDiffers, ArchiveFailed, FolderExists, NothingSealed, Held, CannotDecide, DatabaseError
        ) as error:  # fmt: skip
            done.faults.append(f"{due.partition}: {due.step} failed: {' '.join(str(error).split())}")
            return
        {
            Step.DETACH: done.detached, Step.EXPORT: done.exported, Step.DROP: done.dropped, Step.REMOVE: done.removed
        }[due.step].append(due.partition)  # fmt: skip
        due = _of_record(due.policy, record, now)
