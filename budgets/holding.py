"""What guards write: a machine's money in budgets that they have locked, in the order of their ids."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from budgets.binding import Bound
from budgets.models import Budget, Reservation
from workspaces.intents import Intent


def lock(budget_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Lock the budgets in the order of their ids, in a statement of its own: what is read after it is up to date."""
    ids = list(budget_ids)
    rows = Budget.objects.filter(id__in=ids).order_by("id")
    return set(rows.select_for_update(no_key=True, of=("self",)).values_list("id", flat=True)) if ids else set()


def top_up(intent: Intent, budget: Bound) -> None:
    """Add what the budget, locked, must hold more for the machine.

    Where that is nothing, a reservation of 0 is written all the same, unless there is one: metering tops up none else.
    What was kept for a machine that had left the budget is its own again; where that is enough the sweep fits it later,
    and also where it is to be modified: it is so much only once that is done.
    """
    held = Reservation.objects.live().filter(workspace_id=intent.workspace_id, budget_id=budget.id)
    if not budget.needed and held.exists():
        return
    Budget.objects.filter(pk=budget.id).update(reserved=F("reserved") + budget.needed, updated_at=Now())
    more: dict[str, Any] = {"amount": F("amount") + budget.needed, "remaining": F("remaining") + budget.needed}
    if intent.kind != "modify":
        more["kept_until"] = None
    if not held.update(**more, updated_at=Now()):
        Reservation.objects.create(
            organization=intent.organization,
            budget_id=budget.id,
            workspace_id=intent.workspace_id,
            amount=budget.needed,
            remaining=budget.needed,
            correlation_id=intent.correlation_id,
        )


def give_back(reservation: Reservation, amount: Decimal) -> Decimal:
    """Give back as much of what a reservation holds, read after its budget was locked; returns what that came to."""
    freed = min(amount, reservation.remaining)
    if freed <= 0:
        return Decimal(0)
    Reservation.objects.filter(pk=reservation.pk).update(remaining=F("remaining") - freed, updated_at=Now())
    Budget.objects.filter(pk=reservation.budget_id).update(reserved=F("reserved") - freed, updated_at=Now())
    return freed


def release(held: Iterable[Reservation], *, now: datetime) -> None:
    """Give back what these reservations hold, read after their budgets were locked."""
    for reservation in held:
        freed = reservation.remaining
        Budget.objects.filter(pk=reservation.budget_id).update(reserved=F("reserved") - freed, updated_at=Now())
        reservation.remaining, reservation.released_at, reservation.expires_at = Decimal(0), now, None
        reservation.save(update_fields=["remaining", "released_at", "expires_at", "updated_at"])
