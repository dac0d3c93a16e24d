"""Rows of budgets as they are written: with their thresholds and their audit entry, whoever sets or renews them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from audit.actors import Actor
from audit.services import record
from budgets import actions
from budgets.figures import instant, money
from budgets.models import FRACTIONS, Budget, BudgetThreshold
from forge.api.errors import Conflict
from forge.db.integrity import refusing


class PeriodsOverlap(Conflict):
    code = "periods_overlap"
    title = "The scope has a budget in this period already"
    suggested_action = "Change that budget's amount, or switch it off first."


def write(budget: Budget, *, fractions: Iterable[Decimal] = FRACTIONS) -> None:
    """Write a budget with thresholds, not adopted and not yet recorded; raises PeriodsOverlap."""
    with refusing_overlap(budget):
        budget.save(force_insert=True)
        add_thresholds(budget, fractions)


def add_thresholds(budget: Budget, fractions: Iterable[Decimal]) -> None:
    """Write thresholds that the budget has not yet."""
    BudgetThreshold.objects.bulk_create(
        BudgetThreshold(organization_id=budget.organization_id, budget=budget, fraction=fraction)
        for fraction in fractions
    )


def fractions_of(budget: Budget) -> list[Decimal]:
    """The fractions of the budget's thresholds, in their order."""
    return list(budget.thresholds.order_by("fraction").values_list("fraction", flat=True))


def record_created(*, actor: Actor, budget: Budget, now: datetime, context: Mapping[str, Any] | None = None) -> None:
    """The audit entry of a budget that was written: once all locks on budgets are taken, for its lane is the last."""
    record(
        actor=actor.in_organization(budget.organization_id),
        action=actions.BUDGET_CREATE,
        resource_type="Budget",
        resource_id=str(budget.id),
        description=f"Set budget {budget.id} for {budget.scope.lower()} {budget.scope_id}",
        changes={"before": None, "after": _terms(budget)},
        context=context,
        occurred_at=now,
    )


def record_changed(
    *,
    actor: Actor,
    budget: Budget,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    now: datetime,
    action: str = actions.BUDGET_UPDATE,
    context: Mapping[str, Any] | None = None,
) -> None:
    """The audit entry of terms that were changed, once all locks on budgets are taken."""
    record(
        actor=actor.in_organization(budget.organization_id),
        action=action,
        resource_type="Budget",
        resource_id=str(budget.id),
        description=f"Changed {', '.join(sorted(after))} of budget {budget.id}",
        changes={"before": _plain(before), "after": _plain(after)},
        context=context,
        occurred_at=now,
    )


@contextmanager
def refusing_overlap(budget: Budget) -> Iterator[None]:
    """Raise PeriodsOverlap with the budget in the way, where the block would let two of a scope hold the same hour."""
    names = ("budgets_budget_periods_do_not_overlap", "budgets_budget_one_per_scope_and_start")
    try:
        with refusing(dict.fromkeys(names, PeriodsOverlap())):
            yield
    except PeriodsOverlap:
        others = Budget.objects.filter(scope=budget.scope, scope_id=budget.scope_id, is_active=True)
        held = others.filter(period_start__lt=budget.period_end, period_end__gt=budget.period_start)
        other = held.exclude(pk=budget.pk).order_by("period_start").first()
        if other is None:  # it has just been switched off
            raise
        raise PeriodsOverlap(
            "Periods of one scope do not overlap.",
            extra={"budget": other.pk, "period_start": other.period_start, "period_end": other.period_end},
        ) from None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, uuid.UUID) else value


def _terms(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope,
        "scope_id": str(budget.scope_id),
        "amount": money(budget.amount),
        "period_start": instant(budget.period_start),
        "period_end": instant(budget.period_end),
        "recurs": budget.recurs,
        "on_limit": budget.on_limit,
        "owner_id": str(budget.owner_id) if budget.owner_id else None,
    }
