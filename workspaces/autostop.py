"""The AutoStop time that AWS is to have of a machine: its own, and longer while a work lease lasts.

AWS stops an AutoStop machine by itself, so many whole hours after its user's last connection, and knows nothing of
leases. It changes that time at once, to and fro and without a fee (WorkSpaces Administration Guide, "Manage the running
mode"), so a lease makes it longer and its end makes it short again; AlwaysOn would cost the fee of a whole month.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from workspaces import actions, aws
from workspaces.busy import under_way
from workspaces.models import WorkLease, WorkSpace
from workspaces.transitions import lock_machine

MOST_MINUTES = 2880
"""48 hours: Forge sets no longer time, whatever a lease asks for."""

_MINUTE = timedelta(minutes=1)
_AT_REST = ("AVAILABLE", "STOPPED")
"""AWS's states in which it takes a change of the running mode."""


def minutes_wanted(own: int, lease: WorkLease | None, *, now: datetime) -> int:
    """The time in whole hours: the machine's `own`, and the length of its lease on top while that lasts.

    AWS counts from the last connection, which may be as long before the lease was given as the machine may be idle.
    """
    step = aws.auto_stop_step(own)
    if lease is None or lease.until <= now:
        return step
    length = -((lease.created_at - lease.until) // _MINUTE)
    return max(step, min(MOST_MINUTES, step + aws.auto_stop_step(length)))


def held_in_aws_until(own: int, lease: WorkLease) -> datetime:
    """Until when AWS surely does not stop the machine, if nobody connects meanwhile; at most the end of the lease."""
    least = minutes_wanted(own, lease, now=lease.created_at) - aws.auto_stop_step(own)
    return min(lease.until, lease.created_at + least * _MINUTE)


def unlike(
    machines: Sequence[WorkSpace], shown: Mapping[str, aws.Machine], *, now: datetime
) -> Iterator[tuple[WorkSpace, int, WorkLease]]:
    """Machines with a lease, now or once, of which AWS has another time than wanted, and that time. One query.

    What an operation is changing is left to it.
    """
    at_rest = WorkLease.objects.exclude(workspace_id__in=under_way().values("target_id"))
    leased = at_rest.filter(workspace__in=machines).order_by("workspace_id", "-until", "-id")
    leases = {lease.workspace_id: lease for lease in leased.distinct("workspace_id")}
    for machine in machines:
        lease, seen = leases.get(machine.id), shown[machine.provider_id]
        if lease is None or seen.running_mode != "AUTO_STOP" or machine.running_mode != "AUTO_STOP":
            continue
        if seen.modifying or seen.state not in _AT_REST:
            continue
        minutes = minutes_wanted(machine.auto_stop_timeout_minutes, lease, now=now)
        if minutes != seen.auto_stop_minutes:
            yield machine, minutes, lease


def tell(
    machine: WorkSpace,
    minutes: int,
    lease: WorkLease,
    *,
    before: int,
    gateway: aws.Gateway,
    actor: Actor,
    now: datetime,
) -> bool:
    """Write down that AWS is to have the time, then ask for it; the next look shows whether it has. Raises AwsError.

    What is asked for again, because AWS refused or the worker died on the way, is the same change: it has its entry.
    False where an operation has begun since the machines were looked at: many are told, and each waits for its turn.
    """
    with transaction.atomic():
        locked = lock_machine(machine.id)
        if under_way().filter(target_id=machine.id).exists():
            return False
        if locked.auto_stop_asked_minutes != minutes:
            locked.auto_stop_asked_minutes = minutes
            locked.save(update_fields=["auto_stop_asked_minutes", "updated_at"])
            record(
                actor=actor.for_one_of(locked.organization_id),
                action=actions.WORKSPACE_AUTO_STOP,
                resource_type="WorkSpace",
                resource_id=str(locked.id),
                description=f"AutoStop time that AWS is asked for of machine {locked.id}",
                changes={"before": {"minutes_in_aws": before}, "after": {"minutes_in_aws": minutes}},
                context={"lease_id": str(lease.id), "leased_until": lease.until.isoformat()},
                occurred_at=now,
            )
    gateway.modify(machine.provider_id, {"auto_stop_timeout_minutes": minutes})
    return True


def note_arrived(machines: Sequence[WorkSpace], asked: Collection[uuid.UUID]) -> None:
    """Forget what AWS was asked for of machines that need not be asked again: it shows what is wanted."""
    arrived = [one.id for one in machines if one.auto_stop_asked_minutes is not None and one.id not in asked]
    if arrived:
        rows = WorkSpace.objects.filter(id__in=arrived)
        with transaction.atomic():
            locked = list(rows.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
            WorkSpace.objects.filter(id__in=locked).update(auto_stop_asked_minutes=None)
