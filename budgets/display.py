"""How a budget is shown to people: a bar, a word for where it stands, money rounded to cents."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils.safestring import SafeString

from budgets.models import Budget, BudgetRaise
from costs.pricing import cents
from forge.adminkit import bars


def bar(budget: Budget, *, forecast: Decimal | None = None) -> SafeString:
    """Spent, reserved and, where it is asked for, forecast; with marks at 100 % and at the budget's thresholds."""
    marks = [threshold.fraction for threshold in budget.thresholds.all()]
    return bars.bar(limit=budget.limit, spent=budget.spent, reserved=budget.reserved, forecast=forecast, marks=marks)


def standing(budget: Budget, now: datetime) -> str:
    """Where a budget stands, in words."""
    if not budget.is_active:
        return "switched off"
    if budget.adopted_at is None:
        return "to be adopted" if budget.period_start <= now else "to come"
    if budget.overrun:
        return "over the limit"
    if budget.is_limit_reached:
        return "limit reached"
    return "past its warning" if budget.is_warning_reached else "within"


def money(budget: Budget | BudgetRaise, amount: Decimal) -> str:
    """An amount in the organization's currency, such as `1,234.50 USD`."""
    return f"{cents(amount):,} {budget.organization.currency}"
