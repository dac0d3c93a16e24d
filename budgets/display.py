"""How a budget is shown to people: a bar, a word for where it stands, money rounded to cents."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from budgets.models import Budget, BudgetRaise
from costs.pricing import cents

_BAR = """
<div style="min-width: 11rem">
  <div aria-hidden="true" style="display: flex; height: .5rem; overflow: hidden; background: rgba(128, 128, 128, .25)">
    <div style="width: {}%; background: var(--color-primary-600)"></div>
    <div style="width: {}%; background: repeating-linear-gradient(
        45deg, var(--color-primary-400) 0 4px, var(--color-primary-200) 4px 8px)"></div>
  </div>
  <span style="font-size: .75rem">{}</span>
</div>
"""


def bar(budget: Budget) -> SafeString:
    """Spent and reserved as a bar and in words; the colours say nothing that the words do not."""
    spent, reserved = percent(budget.spent, budget), percent(budget.reserved, budget)
    words = f"{spent} % spent, {reserved} % reserved" if budget.limit else "nothing is allowed"
    return format_html(_BAR, min(spent, 100), min(reserved, max(100 - spent, 0)), words)


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


def percent(part: Decimal, budget: Budget) -> int:
    """A part of the budget's limit in whole per cent, rounded down; 0 of a budget that allows nothing."""
    return int(100 * part / budget.limit) if budget.limit else 0


def money(budget: Budget | BudgetRaise, amount: Decimal) -> str:
    """An amount in the organization's currency, such as `1,234.50 USD`."""
    return f"{cents(amount):,} {budget.organization.currency}"
