"""Marks of budgets: each threshold fires once per period, with its audit entry and the mail that it owes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from audit.actors import Actor
from audit.services import record
from budgets import actions, notices
from budgets.figures import fraction, money, percent
from budgets.models import LIMIT, MOST_FRACTION, MOST_THRESHOLDS, Budget, BudgetThreshold
from budgets.rows import add_thresholds
from forge.api.errors import Refused

LATE_COST = timedelta(days=45)
"""For so long after its end a period is watched: the cost of its last hours and corrections may come late."""


class ThresholdsRefused(Refused):
    code = "thresholds_refused"
    title = "These cannot be the thresholds of a budget"


def check(fractions: Sequence[Decimal]) -> list[Decimal]:
    """The fractions in their order; raises ThresholdsRefused for too many, twice the same, or one out of range."""
    if len(fractions) > MOST_THRESHOLDS:
        raise ThresholdsRefused(f"A budget has at most {MOST_THRESHOLDS} thresholds.")
    for one in fractions:
        if not one.is_finite() or not 0 < one <= MOST_FRACTION or one != round(one, 4):
            raise ThresholdsRefused(f"A threshold is above 0 and at most {MOST_FRACTION}, with at most 4 places.")
    if len(set(fractions)) < len(fractions):
        raise ThresholdsRefused("Each threshold stands there once.")
    return sorted(fractions)


def replace(budget: Budget, fractions: Sequence[Decimal]) -> None:
    """Give a locked budget these thresholds: what stays keeps when it fired, what is new has not fired."""
    budget.thresholds.exclude(fraction__in=fractions).delete()
    kept = set(budget.thresholds.values_list("fraction", flat=True))
    add_thresholds(budget, [one for one in fractions if one not in kept])


def due(*, now: datetime) -> list[uuid.UUID]:
    """Ids of the budgets in which a threshold is reached that has not fired, in the order of ids."""
    reached = BudgetThreshold.objects.filter(
        fired_at__isnull=True,
        budget__is_active=True,
        budget__adopted_at__isnull=False,
        budget__period_end__gt=now - LATE_COST,
        budget__spent__gte=F("fraction") * (F("budget__amount") + F("budget__transferred") + F("budget__raised")),
    )
    return sorted(set(reached.values_list("budget_id", flat=True)))


def fire(*, budget_id: uuid.UUID, actor: Actor, now: datetime) -> list[BudgetThreshold]:
    """Fire what one budget has reached, in a transaction of its own; what has fired stays fired until a raise.

    The budget's row lock makes it once, whoever else looks at the same time.
    """
    with transaction.atomic():
        budget = (
            Budget.objects.select_for_update(no_key=True, of=("self",)).select_related("organization").get(pk=budget_id)
        )
        if not budget.is_active or budget.adopted_at is None:
            return []
        waiting = budget.thresholds.filter(fired_at__isnull=True).order_by("fraction")
        fired: list[tuple[BudgetThreshold, Actor]] = []
        reached = [threshold for threshold in waiting if budget.spent >= threshold.fraction * budget.limit]
        for threshold in reached:
            threshold.fired_at = now
            threshold.save(update_fields=["fired_at", "updated_at"])
            one = actor.in_organization(budget.organization_id)
            notices.write(budget=budget, threshold=threshold, correlation_id=one.correlation_id, now=now)
            fired.append((threshold, one))
        for threshold, one in fired:
            _record(budget, threshold, one, now)
    return reached


def rearm(budget: Budget) -> int:
    """Let the thresholds that a raise has put out of reach fire again; the caller has the budget locked."""
    armed = 0
    for threshold in budget.thresholds.filter(fired_at__isnull=False):
        if budget.spent < threshold.fraction * budget.limit:
            threshold.fired_at = None
            threshold.save(update_fields=["fired_at", "updated_at"])
            armed += 1
    return armed


def _record(budget: Budget, threshold: BudgetThreshold, actor: Actor, now: datetime) -> None:
    is_limit = threshold.fraction >= LIMIT
    record(
        actor=actor,
        action=actions.BUDGET_LIMIT_REACHED if is_limit else actions.BUDGET_WARNING,
        resource_type="Budget",
        resource_id=str(budget.id),
        description=f"Budget {budget.id} has reached {percent(threshold.fraction)} of its limit",
        context={
            "fraction": fraction(threshold.fraction),
            "limit": money(budget.limit),
            "spent": money(budget.spent),
            "reserved": money(budget.reserved),
            "currency": budget.organization.currency,
        },
        occurred_at=now,
    )
