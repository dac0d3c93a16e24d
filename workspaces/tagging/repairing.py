"""Comparing the tags that AWS shows with those that Forge wants, and asking for repairs: the part of reconcile."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from audit.actors import Actor
from forge.db.ids import uuid7
from forge.operations.models import Operation
from workspaces import actions
from workspaces.busy import TAG_KIND
from workspaces.lifecycle import ACTIONS, AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.services.control import queue
from workspaces.services.tagging import TAG_PROMISE
from workspaces.tagging.wanted import difference, wanted_of
from workspaces.transitions import lock_machine, lock_scopes_of

LATE = timedelta(minutes=15)
"""So long after a write AWS's index of tags may show what was before it."""

AGAIN_AFTER = timedelta(hours=6)
"""A machine whose repair has failed is left so long, with its tags counted as differing."""


def compare(
    machines: Sequence[WorkSpace], shown: Mapping[str, Mapping[str, str]], *, now: datetime, dry_run: bool
) -> list[WorkSpace]:
    """Those of the machines of which AWS shows other tags than wanted; what agrees is noted with the row.

    `shown` are tags by AWS's id, without those of machines that have none. Machines that are being launched or ended
    are passed over, and those written so lately that AWS need not show it yet.
    """
    differing, agreeing = [], []
    for machine in machines:
        if machine.state not in ACTIONS["tag"] or _is_fresh(machine, now):
            continue
        wanted = wanted_of(machine)
        if difference(wanted, shown.get(machine.provider_id, {}), applied=machine.applied_tags):
            differing.append(machine)
        elif machine.tags_applied_at is None or machine.applied_tags != wanted:
            agreeing.append(machine)
    if agreeing and not dry_run:
        _note(agreeing, now=now)
    return differing


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


def to_repair(differing: Sequence[WorkSpace], *, now: datetime) -> list[WorkSpace]:
    """Those for which an operation is to be queued: none is under way, and none has failed a short while ago."""
    asked = Operation.objects.filter(target_id__in=[machine.id for machine in differing], kind=TAG_KIND)
    held = set(asked.open().values_list("target_id", flat=True))
    lately = asked.filter(status=Operation.Status.FAILED, finished_at__gt=now - AGAIN_AFTER)
    held |= set(lately.values_list("target_id", flat=True))
    return [machine for machine in differing if machine.id not in held]


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
