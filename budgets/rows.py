"""Rows of budgets as they are written: with their thresholds and their audit entry, whoever sets or renews them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
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


def write(budget: Budget) -> None:
    """Write a budget with its thresholds, not adopted and not yet recorded; raises PeriodsOverlap."""
    overlap = PeriodsOverlap(
        "Periods of one scope do not overlap.", extra={"scope": budget.scope, "scope_id": str(budget.scope_id)}
    )
    with refusing_overlap(overlap):
        budget.save(force_insert=True)
        BudgetThreshold.objects.bulk_create(
            BudgetThreshold(organization_id=budget.organization_id, budget=budget, fraction=fraction)
            for fraction in FRACTIONS
        )


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


def refusing_overlap(overlap: PeriodsOverlap) -> AbstractContextManager[None]:
    """Raise `overlap` where the block would let two active budgets of a scope hold the same hour."""
    names = ("budgets_budget_periods_do_not_overlap", "budgets_budget_one_per_scope_and_start")
    return refusing(dict.fromkeys(names, overlap))


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
