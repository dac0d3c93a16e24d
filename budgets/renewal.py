"""The next period of a recurring budget, written a day ahead, and the end of a period."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from audit.actors import Actor
from budgets import thresholds
from budgets.models import Budget, Reservation
from budgets.periods import next_end
from budgets.rows import PeriodsOverlap, fractions_of, record_created, write

AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Plan:
    """What a recurring budget must write now, and whether nothing is left for it to see to after that."""

    rows: list[Budget]
    is_done: bool


def to_renew(*, now: datetime) -> list[uuid.UUID]:
    """Ids of recurring budgets whose period ends within a day, or has ended, and that see to what follows."""
    ending = Budget.objects.filter(is_active=True, renewed_at__isnull=True, period_end__lte=now + AHEAD)
    return list(ending.exclude(recurs=Budget.Recurs.NONE).order_by("id").values_list("id", flat=True))


def missing(*, now: datetime) -> int:
    """How many rows `renew` would write now."""
    ids = to_renew(now=now)
    return sum(len(_plan(budget, now).rows) for budget in Budget.objects.filter(id__in=ids).iterator())


def renew(*, budget_id: uuid.UUID, actor: Actor, now: datetime) -> list[Budget]:
    """Write rows with the same terms, not adopted, for the hours of the next period that nothing holds.

    What was set by hand takes the place of the next row in the hours that it holds. Such a budget may be switched off
    again, so the recurring one is looked at until that is over; only a row of its own that reaches the period's end,
    or another recurring budget, carries on.
    """
    with transaction.atomic():
        budget = (
            Budget.objects.select_for_update(no_key=True, of=("self",))
            .select_related("organization", "owner")
            .get(pk=budget_id)
        )
        rows = carry_on(budget, now=now)
        for row in rows:
            record_created(actor=actor, budget=row, now=now, context={"renews": str(budget.id)})
    return rows


def carry_on(budget: Budget, *, now: datetime) -> list[Budget]:
    """Write what follows a locked budget, as `renew` does; the caller records the rows once all locks are taken."""
    if not budget.is_active or budget.renewed_at is not None or budget.recurs == Budget.Recurs.NONE:
        return []
    plan = _plan(budget, now)
    try:
        with transaction.atomic():
            for row in plan.rows:
                write(row, fractions=fractions_of(budget))
    except PeriodsOverlap:
        return []  # somebody has just set one; the next look sees it
    if plan.is_done:
        budget.renewed_at = now
        budget.save(update_fields=["renewed_at", "updated_at"])
    return plan.rows


def _plan(budget: Budget, now: datetime) -> Plan:
    """Walk through the periods that begin within a day, up to the one whose end is held by who carries on.

    A row of its own counts even when it is switched off: that was somebody's will. `held_until` is when the last
    budget of somebody else is over, which until then might still be switched off.
    """
    present = _following(budget)
    rows: list[Budget] = []
    start, carried_on, held_until = budget.period_end, False, None
    while start <= now + AHEAD and not carried_on:
        end = next_end(start, budget.recurs, budget.recurs_hours)
        within = [row for row in present if row.period_start < end and row.period_end > start]
        for gap_start, gap_end in _gaps(within, start, end):
            rows.append(_next(budget, gap_start, gap_end, budget.recurs if gap_end == end else Budget.Recurs.NONE))
        carried_on = any(
            row.period_end >= end and (row.renews_id == budget.id or row.recurs != Budget.Recurs.NONE)
            for row in [*within, *rows[-1:]]
        )
        ends = [row.period_end for row in within if row.renews_id != budget.id]
        held_until = max(filter(None, [held_until, *ends]), default=None)
        start = end
    return Plan(rows, is_done=carried_on and (held_until is None or held_until <= now))


def _following(budget: Budget) -> list[Budget]:
    """What the scope has after the budget's period: what is active, and what the budget wrote itself."""
    active = Budget.objects.of(budget.scope, budget.scope_id).filter(is_active=True)
    found = [*active.filter(period_end__gt=budget.period_end), *budget.renewals.filter(is_active=False)]
    return sorted(found, key=lambda row: (row.period_start, row.id))


def _gaps(rows: Sequence[Budget], start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The parts of [start, end) that no row holds; the rows are in the order of their starts."""
    for row in rows:
        if row.period_start > start:
            yield start, row.period_start
        start = max(start, row.period_end)
    if start < end:
        yield start, end


def _next(budget: Budget, start: datetime, end: datetime, recurs: str) -> Budget:
    return Budget(
        organization=budget.organization,
        scope=budget.scope,
        scope_id=budget.scope_id,
        owner=budget.owner,
        set_by_id=budget.set_by_id,
        amount=budget.amount,
        period_start=start,
        period_end=end,
        recurs=recurs,
        recurs_hours=None if recurs == Budget.Recurs.NONE else budget.recurs_hours,
        on_limit=budget.on_limit,
        renews=budget,
    )


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
