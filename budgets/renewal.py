"""The next period of a recurring budget, written a day ahead, and the end of a period."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from audit.actors import Actor
from budgets import thresholds
from budgets.models import Budget, Reservation
from budgets.periods import next_end
from budgets.services import PeriodsOverlap, insert

AHEAD = timedelta(days=1)


def to_renew(*, now: datetime) -> list[uuid.UUID]:
    """Ids of recurring budgets whose period ends within a day, or has ended, and that have no next row."""
    ending = Budget.objects.filter(is_active=True, renewed_at__isnull=True, period_end__lte=now + AHEAD)
    return list(ending.exclude(recurs=Budget.Recurs.NONE).order_by("id").values_list("id", flat=True))


def renew(*, budget_id: uuid.UUID, actor: Actor, now: datetime) -> Budget | None:
    """Write the next row with the same terms, not adopted; None when another budget holds part of that period.

    What was set by hand for that period takes the place of the next row.
    """
    with transaction.atomic():
        budget = (
            Budget.objects.select_for_update(no_key=True, of=("self",))
            .select_related("organization", "owner")
            .get(pk=budget_id)
        )
        if not budget.is_active or budget.renewed_at is not None or budget.recurs == Budget.Recurs.NONE:
            return None
        budget.renewed_at = now
        budget.save(update_fields=["renewed_at", "updated_at"])
        end = next_end(budget.period_end, budget.recurs)
        present = Budget.objects.of(budget.scope, budget.scope_id).filter(
            is_active=True, period_start__lt=end, period_end__gt=budget.period_end
        )
        if present.exists():
            return None
        try:
            return insert(
                actor=actor,
                budget=Budget(
                    organization=budget.organization,
                    scope=budget.scope,
                    scope_id=budget.scope_id,
                    owner=budget.owner,
                    amount=budget.amount,
                    period_start=budget.period_end,
                    period_end=end,
                    recurs=budget.recurs,
                    on_limit=budget.on_limit,
                ),
                now=now,
                context={"renews": str(budget.id)},
            )
        except PeriodsOverlap:
            return None


def to_adopt(*, now: datetime) -> list[uuid.UUID]:
    """Ids of budgets whose period has begun and that are not adopted, the oldest first."""
    begun = Budget.objects.filter(is_active=True, adopted_at__isnull=True, period_start__lte=now)
    return list(begun.order_by("period_start", "id").values_list("id", flat=True))


def to_empty(*, now: datetime) -> list[uuid.UUID]:
    """Ids of budgets whose period is over and that machines still hold: those without a next row."""
    over = Budget.objects.filter(is_active=True, period_end__lte=now, period_end__gt=now - thresholds.LATE_COST)
    held = Exists(Reservation.objects.live().filter(budget=OuterRef("pk")))
    return list(over.filter(held).order_by("id").values_list("id", flat=True))


def empty(*, budget_id: uuid.UUID, now: datetime) -> int:
    """End what is still held in a budget whose period is over; a late cost is spent without it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT budgets_empty(%s, %s)", [[budget_id], now])
        return cursor.fetchone()[0]
