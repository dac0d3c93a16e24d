"""Comparing the tags that AWS shows with those that Forge wants, and asking for repairs: the part of reconcile.

What cannot be repaired is found (`tags_differ`): a machine that has no room for Forge's tags, which is not even tried,
and one whose last repair has failed, which is tried again after ever longer waits.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from audit.actors import Actor
from forge.db.ids import uuid7
from forge.operations.models import Operation
from workspaces import actions
from workspaces.busy import TAG_KIND
from workspaces.lifecycle import ACTIONS, AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.posture.checks import TAGS, Deviation
from workspaces.services.control import queue
from workspaces.services.tagging import TAG_PROMISE
from workspaces.tagging.wanted import MOST, TOO_MANY, Difference, difference, wanted_of
from workspaces.transitions import lock_machine, lock_scopes_of

LATE = timedelta(minutes=15)
"""So long after a write AWS's index of tags may show what was before it."""

AGAIN_AFTER, AGAIN_AT_MOST = timedelta(hours=6), timedelta(days=7)
"""A machine whose repair has failed is left so long, twice as long after each further failure, and this at most."""

REMEMBERED = timedelta(days=60)
"""Failures count so long; it is more than a few of the longest waits."""


@dataclass(frozen=True)
class Compared:
    """The machines that were looked at, and what is to be done with those of which AWS shows other tags than wanted."""

    looked: list[WorkSpace]
    differing: dict[uuid.UUID, Difference]


@dataclass(frozen=True)
class Failures:
    """Repairs of one machine that failed since one last went well: how many, when the last one did, and with what."""

    count: int
    last_at: datetime
    code: str

    @property
    def again_at(self) -> datetime:
        return self.last_at + min(AGAIN_AT_MOST, AGAIN_AFTER * 2 ** min(self.count - 1, 10))


def compare(
    machines: Sequence[WorkSpace], shown: Mapping[str, Mapping[str, str]], *, now: datetime, dry_run: bool
) -> Compared:
    """Which of the machines AWS shows with other tags than wanted; what agrees is noted with the row.

    `shown` are tags by AWS's id, without those of machines that have none. Machines that are being launched or ended
    are passed over, and those written so lately that AWS need not show it yet.
    """
    looked: list[WorkSpace] = []
    differing: dict[uuid.UUID, Difference] = {}
    agreeing: list[WorkSpace] = []
    for machine in machines:
        if machine.state not in ACTIONS["tag"] or _is_fresh(machine, now):
            continue
        looked.append(machine)
        wanted = wanted_of(machine)
        differs = difference(wanted, shown.get(machine.provider_id, {}), applied=machine.applied_tags)
        if differs:
            differing[machine.id] = differs
        elif machine.tags_applied_at is None or machine.applied_tags != wanted:
            agreeing.append(machine)
    if agreeing and not dry_run:
        _note(agreeing, now=now)
    return Compared(looked, differing)


def _note(agreeing: Sequence[WorkSpace], *, now: datetime) -> None:
    """Note with the rows that AWS shows what is wanted, but for those to which something was done since they were read.

    Every operation raises the version when it is asked for and when it ends; one that writes tags now is seen to.
    """
    read = {machine.id: machine for machine in agreeing}
    writing = Operation.objects.open().filter(kind=TAG_KIND, target_id=OuterRef("pk"))
    with transaction.atomic():
        locked = list(
            WorkSpace.objects.select_for_update(no_key=True, skip_locked=True)
            .filter(id__in=read)
            .exclude(Exists(writing))
            .order_by("id")
        )
        same = [machine for machine in locked if machine.version == read[machine.id].version]
        for machine in same:
            machine.applied_tags, machine.tags_applied_at = wanted_of(read[machine.id]), now
        WorkSpace.objects.bulk_update(same, ["applied_tags", "tags_applied_at"])


def judge(compared: Compared, *, now: datetime) -> tuple[list[WorkSpace], list[Deviation]]:
    """Those for which an operation is to be queued now, and what is found of those that repairs do not bring right."""
    differing = [machine for machine in compared.looked if machine.id in compared.differing]
    if not differing:
        return [], []
    asked = Operation.objects.filter(target_id__in=[machine.id for machine in differing], kind=TAG_KIND)
    held = set(asked.open().values_list("target_id", flat=True))
    failures = _failures(asked, now=now)
    chosen: list[WorkSpace] = []
    found: list[Deviation] = []
    for machine in differing:
        failed, total = failures.get(machine.id), compared.differing[machine.id].total
        if total > MOST:
            found.append(_unrepaired(machine, {"reason": TOO_MANY, "tags": total, "limit": MOST}))
            continue
        if failed is not None:
            waits = {"failures": failed.count, "again_at": failed.again_at.isoformat()}
            found.append(_unrepaired(machine, {"reason": failed.code, **waits}))
        if machine.id not in held and (failed is None or failed.again_at <= now):
            chosen.append(machine)
    return chosen, found


def _failures(asked: QuerySet[Operation], *, now: datetime) -> dict[uuid.UUID, Failures]:
    """By machine, where there are any."""
    done = asked.filter(status=Operation.Status.SUCCEEDED).values_list("target_id")
    done_at = dict(done.annotate(Max("finished_at")))
    failed = asked.filter(status=Operation.Status.FAILED, finished_at__gt=now - REMEMBERED)
    found: dict[uuid.UUID, Failures] = {}
    for machine_id, at, error in failed.order_by("finished_at").values_list("target_id", "finished_at", "error"):
        if at is not None and (machine_id not in done_at or at > done_at[machine_id]):
            before = found[machine_id].count if machine_id in found else 0
            found[machine_id] = Failures(before + 1, at, (error or {}).get("code", ""))
    return found


def _unrepaired(machine: WorkSpace, detail: dict[str, Any]) -> Deviation:
    return Deviation(machine.provider_id, TAGS, detail, str(machine.id))


def repair(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> Operation | None:
    """Queue the operation that brings AWS's tags of a machine after; None where it is no longer to be done."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        is_asked = Operation.objects.open().filter(target_id=workspace_id, kind=TAG_KIND).exists()
        if workspace.state not in ACTIONS["tag"] or is_asked:
            return None
        return queue(
            workspace,
            actor=actor.for_one_of(workspace.organization_id),
            verb="tag",
            audit_action=actions.WORKSPACE_TAG,
            operation_id=uuid7(),
            now=now,
            spec=AUTOMATIC,
            promise=TAG_PROMISE,
        )


def _is_fresh(machine: WorkSpace, now: datetime) -> bool:
    written_at = machine.tags_applied_at or machine.launched_at
    return written_at is not None and now < written_at + LATE
