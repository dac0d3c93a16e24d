"""Figures of budgets as answers and refusals carry them: money as decimal strings of 6 places, instants in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from budgets.binding import Bound, Scopes


def money(amount: Decimal) -> str:
    """An amount with its 6 places."""
    return f"{amount:.6f}"


def fraction(part: Decimal) -> str:
    """A fraction with 2 places, or the 4 that it has."""
    return f"{part:.2f}" if part == round(part, 2) else f"{part:.4f}"


def percent(part: Decimal) -> str:
    """A fraction as people write it, such as 80% or 82.5%."""
    return f"{(100 * part).normalize():f}%"


def instant(at: datetime) -> str:
    """An instant as ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def bound_figures(budget: Bound, scopes: Scopes) -> dict[str, Any]:
    """One binding budget: its limit, what is spent and reserved before, what this needs, and both together after."""
    return {
        "id": str(budget.id),
        "scope": budget.scope,
        "name": scopes.name_of(budget.scope),
        "limit": money(budget.amount),
        "spent": money(budget.spent),
        "reserved": money(budget.reserved),
        "needed": money(budget.needed),
        "after": money(budget.after),
        "period_start": instant(budget.period_start),
        "period_end": instant(budget.period_end),
    }
