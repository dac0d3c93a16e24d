"""Calling off launches that came to nothing, so that they do not hold money for ever.

A reservation goes only with its launch: released alone, the machine might still come and run without one. So what
expires is the operation, and only while it is certain that nothing has been asked of the provider. A launch whose
outcome is unknown keeps its machine and its money.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from audit.actors import Actor
from budgets.models import EXPIRES_AFTER, Reservation
from forge.operations.models import Operation
from forge.operations.services import OperationFinished, OperationNotCancellable, cancel
from workspaces.lifecycle import State

LAUNCH = "workspace.launch"


def stale_launches(*, now: datetime) -> list[uuid.UUID]:
    """Ids of launches with expired reservations that rest, can still be cancelled and were last tried a day ago."""
    expired = Reservation.objects.live().filter(
        expires_at__lte=now, workspace__state=State.PENDING, workspace__launched_at__isnull=True
    )
    launches = Operation.objects.open().filter(
        kind=LAUNCH, cancellable=True, target_id__in=expired.values("workspace_id")
    )
    return [operation.id for operation in launches.order_by("id") if _is_stale(operation, now)]


def call_off(*, operation_id: uuid.UUID, actor: Actor, now: datetime) -> bool:
    """Cancel the launch, which ends its machine and releases what it held; False when it has moved on meanwhile."""
    operation = Operation.objects.get(pk=operation_id)
    if not operation.cancellable or not _is_stale(operation, now):
        return False
    who = actor.in_organization(operation.organization_id).with_correlation(operation.correlation_id)
    try:
        cancel(operation=operation, actor=who, now=now)
    except (OperationFinished, OperationNotCancellable):
        return False
    return True


def _is_stale(operation: Operation, now: datetime) -> bool:
    last_tried = operation.heartbeat_at or operation.started_at or operation.created_at
    return not operation.is_leased(now) and last_tried + EXPIRES_AFTER <= now
