"""The page of a budget: where it stands, how long it lasts, what holds its money, and what was added for a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum

from budgets.display import bar, money, standing
from budgets.foresight import holders_of, outlook, says
from budgets.making_room import suggestions
from budgets.models import Budget
from budgets.scopes import FACTS
from costs.models import DailyCost, DailyTotal
from forge.adminkit.charts import Chart, by_day
from forge.console.links import address, page_of
from forge.console.pages.audit import audit_tab

MOST_DAYS = 92
SHOWN_RAISES = 10


def budget_page(request: Any, budget: Budget, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Template context."""
    ahead = outlook(budget, now=now)
    return {
        "template": "console/budget.html",
        "budget": budget,
        "standing": standing(budget, now),
        "bar": bar(budget, forecast=ahead.total if ahead else None),
        "figures": [(title, money(budget, amount)) for title, amount in _figures(budget)],
        "forecast": _forecast(budget, ahead) if ahead else "",
        "runway": _runway(ahead, now) if ahead else "It is not in force.",
        "chart": _spent_by_day(budget, now),
        "thresholds": [
            (f"{(100 * one.fraction).normalize():f} %", one.fired_at)
            for one in sorted(budget.thresholds.all(), key=lambda one: one.fraction)
        ],
        "holders": _holders(budget, request.user),
        "held": address("budgets.reservation", budget__id__exact=budget.pk, released_at__isempty=1),
        "room": suggestions(budget_id=budget.pk, user=request.user, now=now),
        "raises": [
            (money(budget, one.amount), one.ends_at, one.approved_by or "a command", one.reason)
            for one in budget.raises.open().select_related("approved_by").order_by("ends_at", "id")[:SHOWN_RAISES]
        ],
        "all_raises": address("budgets.budgetraise", budget__id__exact=budget.pk),
        "audit": audit_tab(budget.pk, request.user, opens),
    }


def _figures(budget: Budget) -> list[tuple[str, Decimal]]:
    """What makes the limit, and what is left of it; what nothing was moved or raised by is left out."""
    made_of = [("moved to it", budget.transferred), ("raised for a time", budget.raised)]
    return [
        ("amount", budget.amount),
        *((title, amount) for title, amount in made_of if amount),
        ("limit", budget.limit),
        ("spent", budget.spent),
        ("reserved", budget.reserved),
        ("remaining", budget.remaining),
        *([("overrun", budget.overrun)] if budget.overrun else []),
    ]


def _forecast(budget: Budget, ahead: Any) -> str:
    return (
        f"{money(budget, ahead.total)} by the end of the period: {money(budget, ahead.spent)} spent, "
        f"{money(budget, ahead.fees)} fees to come, {money(budget, ahead.running)} of running at "
        f"{money(budget, 24 * ahead.pace)} a day."
    )


def _runway(ahead: Any, now: datetime) -> str:
    return says(ahead.full_at, now) if ahead.full_at else "Launches are not refused in this period."


def _spent_by_day(budget: Budget, now: datetime) -> Chart:
    """The days of the period up to today, at most the last MOST_DAYS; of a budget to come none."""
    last = min(now, budget.period_end - timedelta(microseconds=1)).astimezone(UTC).date()
    since = (last - budget.period_start.astimezone(UTC).date()).days
    first = last - timedelta(days=min(since, MOST_DAYS - 1))
    rows = _costs(budget).filter(day__gte=first, day__lte=last).order_by().values_list("day")
    sums = {"spent": dict(rows.annotate(cost=Sum("total_cost")))}
    days = max((last - first).days + 1, 0)
    return by_day("Spent by day (UTC)", budget.organization.currency, sums, first=first, days=days)


def _costs(budget: Budget) -> QuerySet[Any]:
    """The daily costs of the scope: what the budget's spent is the sum of, so whoever sees the budget sees them."""
    model = DailyCost if budget.scope == Budget.Scope.USER else DailyTotal
    of_scope = {"organization_id": budget.organization_id, FACTS[budget.scope].record_column: budget.scope_id}
    return model.objects.filter(**of_scope)


def _holders(budget: Budget, user: Any) -> list[tuple[str, str, str, str]]:
    """Name or id, state, what it holds, and its page where the person sees the machine."""
    return [
        (
            one["name"] or str(one["workspace"]),
            one["state"],
            money(budget, one["remaining"]) + (f", until {one['kept_until']:%H:%M} UTC" if one["kept_until"] else ""),
            page_of("workspaces.workspace", one["workspace"]) if one["name"] else "",
        )
        for one in holders_of(budget, user=user)
    ]
