"""The first page of the console: machines, money and launches of whoever looks, each figure with the list behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Sum
from django.urls import reverse

from budgets.display import bar, money, standing
from budgets.models import Budget
from costs.models import DailyCost
from forge.operations.models import Operation
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace

NEAREST = 5
DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Figure:
    """A number in words, what it counts, and where its list is."""

    title: str
    value: str
    note: str
    link: str


@dataclass(frozen=True)
class Gauge:
    """A budget and where it stands."""

    budget: Budget
    standing: str

    @property
    def link(self) -> str:
        return reverse("admin:budgets_budget_change", args=[self.budget.pk])

    @property
    def bar(self) -> str:
        return bar(self.budget)

    @property
    def amount(self) -> str:
        return money(self.budget, self.budget.limit)


def overview(user: Any, now: datetime, *, sees_operations: bool) -> dict[str, Any]:
    """Template context: `figures`, `states` (label, count, link) and `gauges`."""
    return {
        "figures": [*_money(user, now), *(_launches(user, now) if sees_operations else ())],
        "states": _states(user),
        "gauges": _gauges(user, now),
    }


def _states(user: Any) -> list[tuple[str, int, str]]:
    counts = dict(
        WorkSpace.objects.visible_to(user).filter(state__in=LIVE_STATES).values_list("state").annotate(Count("id"))
    )
    address = reverse("admin:workspaces_workspace_changelist")
    return [(state.label, counts.get(state, 0), f"{address}?state__exact={state}") for state in LIVE_STATES]


def _money(user: Any, now: datetime) -> list[Figure]:
    first = now.date().replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    costs = DailyCost.objects.visible_to(user)
    this = costs.filter(day__gte=first).aggregate(total=Sum("total_cost"))["total"] or Decimal(0)
    last = costs.filter(day__gte=before, day__lt=first).aggregate(total=Sum("total_cost"))["total"] or Decimal(0)
    currency = user.organization.currency if user.organization else ""
    address = reverse("admin:costs_dailycost_changelist")
    return [
        Figure(
            "Spent this month", f"{this:,.2f} {currency}", f"{last:,.2f} {currency} in the whole month before", address
        )
    ]


def _launches(user: Any, now: datetime) -> list[Figure]:
    since = now - DAY
    recent = Operation.objects.visible_to(user).filter(kind="workspace.launch", created_at__gte=since)
    counts = dict(recent.values_list("status").annotate(Count("id")))
    address = reverse("admin:operations_operation_changelist")
    failed = counts.get(Operation.Status.FAILED, 0)
    return [
        Figure(
            "Launches in 24 hours", str(sum(counts.values())), f"{failed} failed", f"{address}?kind=workspace.launch"
        ),
        Figure(
            "Under way",
            str(Operation.objects.visible_to(user).open().count()),
            "operations that have not ended",
            address,
        ),
    ]


def _gauges(user: Any, now: datetime) -> list[Gauge]:
    """The budgets in force that are nearest to their limit."""
    budgets = (
        Budget.objects.visible_to(user)
        .binding(now)
        .with_limit()
        .filter(effective__gt=0, adopted_at__isnull=False)
        .with_scope_name()
        .select_related("organization")
        .prefetch_related("thresholds")
        .order_by(((F("spent") + F("reserved")) / F("effective")).desc(), "id")[:NEAREST]
    )
    return [Gauge(budget, standing(budget, now)) for budget in budgets]
