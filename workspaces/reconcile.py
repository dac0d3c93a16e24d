"""Comparing our machines with what AWS shows, or AWS's own stops would be billed for ever."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from audit.actors import Actor
from audit.services import record
from forge.operations.models import Operation
from workspaces import actions, aws
from workspaces.handlers.common import known, place_of
from workspaces.lifecycle import AWS_STATES, State, may_move
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.transitions import lock_machine, lock_scopes_of, move

logger = logging.getLogger(__name__)

CHUNK = 500


@dataclass
class Figures:
    """Counts of one run; `unreachable` counts provider accounts that AWS did not answer for."""

    seen: int = 0
    moved: int = 0
    vanished: int = 0
    refreshed: int = 0
    unexplained: int = 0
    unreachable: int = 0


def reconcile(*, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Bring our states to what AWS shows, account by account; an account that does not answer is passed over.

    Accounts that are switched off take part: their machines run on. Machines with an open operation are left to it.
    Returns the counts of Figures.
    """
    figures = Figures()
    for account in ProviderAccount.objects.order_by("id"):
        try:
            gateway = aws.Gateway(place_of(account))
            for machines in _chunks(account):
                _compare(machines, gateway, figures, now=now, dry_run=dry_run)
        except aws.AwsError as error:
            figures.unreachable += 1
            logger.warning("provider account %s was passed over: %s", account.id, error)
    return asdict(figures)


def _chunks(account: ProviderAccount) -> Iterator[Sequence[WorkSpace]]:
    """Live machines without an open operation, by id, a chunk at a time."""
    busy = Operation.objects.open().filter(target_id=OuterRef("pk"))
    machines = (
        WorkSpace.objects.live()
        .filter(provider_account=account)
        .exclude(provider_id="")
        .exclude(Exists(busy))
        .order_by("id")
    )
    after: uuid.UUID | None = None
    while chunk := list((machines.filter(id__gt=after) if after else machines)[:CHUNK]):
        yield chunk
        after = chunk[-1].id


def _compare(
    machines: Sequence[WorkSpace], gateway: aws.Gateway, figures: Figures, *, now: datetime, dry_run: bool
) -> None:
    ids = [machine.provider_id for machine in machines]
    shown = gateway.describe(ids)
    connections = gateway.connections([provider_id for provider_id in ids if provider_id in shown])
    for machine in machines:
        figures.seen += 1
        seen = shown.get(machine.provider_id) or gateway.look(known(machine))
        target = State.TERMINATED if seen is None else AWS_STATES[seen.state].state
        if target is not None and target != machine.state:
            if not may_move(machine.state, target):
                figures.unexplained += 1
                logger.warning("machine %s is %s here and %s in AWS", machine.id, machine.state, target)
            elif dry_run or _follow(machine, seen, target, now=now):
                figures.moved += 1
                figures.vanished += seen is None
        if seen is not None and not dry_run:
            figures.refreshed += _refresh(machine, seen, connections.get(machine.provider_id), now=now)


def _follow(machine: WorkSpace, seen: aws.Machine | None, target: State, *, now: datetime) -> bool:
    """Move one machine where AWS has it, unless anything has been done to it since it was read."""
    actor = Actor.job("reconcile_workspaces", machine.organization_id)
    source, version = machine.state, machine.version
    with transaction.atomic():
        lock_scopes_of(machine.id)
        workspace = lock_machine(machine.id)
        busy = Operation.objects.open().filter(target_id=machine.id).exists()
        if busy or (workspace.state, workspace.version) != (source, version):
            return False
        reason = "vanished from AWS" if seen is None else f"AWS shows {seen.state}"
        move(workspace=workspace, target=target, occurred_at=now, reason=reason, actor=actor, now=now)
        record(
            actor=actor,
            action=actions.WORKSPACE_STATE_CHANGE,
            resource_type="WorkSpace",
            resource_id=str(machine.id),
            description=f"Machine {machine.id} followed AWS",
            changes={"before": {"state": str(source)}, "after": {"state": str(target)}},
            context={"reason": reason},
            occurred_at=now,
        )
    return True


def _refresh(machine: WorkSpace, seen: aws.Machine, connection: aws.Connection | None, *, now: datetime) -> bool:
    """Write what AWS shows beside the state, when it differs."""
    facts = {
        "provider_state": seen.state,
        "health": AWS_STATES[seen.state].health,
        "ip_address": seen.ip_address,
        "last_connected_at": _last_connected(machine, connection, now),
    }
    if all(getattr(machine, name) == value for name, value in facts.items()):
        return False
    WorkSpace.objects.filter(pk=machine.pk).update(**facts, updated_at=now)
    return True


def _last_connected(machine: WorkSpace, connection: aws.Connection | None, now: datetime) -> datetime | None:
    if connection is None:
        return machine.last_connected_at
    return now if connection.is_connected else connection.last_connected_at or machine.last_connected_at
