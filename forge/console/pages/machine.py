"""The page of a machine: what happens next and why, what it costs, which budgets bind it, what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Q, Sum
from django.db.models.functions import TruncDay
from django.utils.safestring import SafeString

from budgets.display import bar, money, standing
from budgets.foresight import outlook
from budgets.models import Budget, Reservation
from budgets.scopes import FACTS
from costs.models import CostRecord
from forge.adminkit.charts import by_day
from forge.adminkit.timelines import Event, newest_first
from forge.console.costs import in_currency
from forge.console.links import address, page_of
from forge.console.pages.audit import audit_tab
from forge.db.months import add_months
from forge.operations.models import Operation
from workspaces.lifecycle import State
from workspaces.models import AttributionChange, WorkSpace
from workspaces.rules.why import why

SHOWN_EVENTS, MOST_EVENTS = 8, 40
_NOTHING = Decimal(0)
_ICONS = {
    State.PENDING: "hourglass_top",
    State.STARTING: "hourglass_top",
    State.AVAILABLE: "check_circle",
    State.STOPPING: "hourglass_bottom",
    State.STOPPED: "stop_circle",
    State.TERMINATING: "hourglass_bottom",
    State.TERMINATED: "delete",
    State.FAILED: "error",
}
_LABELS = {State.AVAILABLE: "success", State.FAILED: "danger", State.TERMINATING: "warning", State.STOPPED: "default"}


def machine_page(request: Any, workspace: WorkSpace, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Template context. What it asks does not grow with the machine's age."""
    user = request.user
    told = why(workspace=workspace, now=now)
    events = newest_first(_changes(workspace), _moves(workspace), _operations(user, workspace, opens), most=MOST_EVENTS)
    return {
        "template": "console/machine.html",
        "machine": workspace,
        "label": _LABELS.get(State(workspace.state), "info"),
        "steps": told["steps"],
        "reasons": [said for said in told["reasons"] if not any(said == step["reason"] for step in told["steps"])],
        "ceilings": [
            (name.replace("_", " "), ceiling["in_force"], ceiling["source"])
            for name, ceiling in told["ceilings"].items()
            if ceiling["source"] not in ("", "machine", "installation")
        ],
        "cost": _cost(user, workspace, now),
        "budgets": _budgets(user, workspace, now),
        "events": events[:SHOWN_EVENTS],
        "earlier": events[SHOWN_EVENTS:],
        "audit": audit_tab(workspace.pk, user, opens),
    }


def _cost(user: Any, workspace: WorkSpace, now: datetime) -> dict[str, Any]:
    """This month's cost by day beside the whole month before; the records of one machine are found by an index."""
    first = now.date().replace(day=1)
    before = add_months(first, -1)
    rows = (
        CostRecord.objects.visible_to(user)
        .filter(workspace_id=workspace.pk, period_start__gte=datetime.combine(before, time(), UTC))
        .order_by()
        .values_list(TruncDay("period_start", tzinfo=UTC))
        .annotate(cost=Sum("total_cost"))
    )
    costs = {at.date(): cost for at, cost in rows}
    currency = workspace.organization.currency
    this = {day: cost for day, cost in costs.items() if day >= first}
    chart = by_day(
        "Cost of this month by day", currency, {"cost": this}, first=first, days=(now.date() - first).days + 1
    )
    return {
        "chart": chart,
        "this": in_currency(chart.total, currency),
        "last": in_currency(sum((cost for day, cost in costs.items() if day < first), _NOTHING), currency),
        "to_date": in_currency(workspace.cost_to_date, currency),
        "records": _records(workspace, first),
    }


def _records(workspace: WorkSpace, first: date) -> str:
    return address("costs.costrecord", q=workspace.pk, period_start__gte=f"{first} 00:00:00+00:00")


def _budgets(user: Any, workspace: WorkSpace, now: datetime) -> list[tuple[Budget, str, str, SafeString, str]]:
    """The budgets that bind the machine and that the person sees: link, where each stands, its bar, what it holds."""
    binding = Q()
    for scope, facts in FACTS.items():
        binding |= Q(scope=scope, scope_id=getattr(workspace, facts.machine_column))
    found = (
        Budget.objects.visible_to(user)
        .binding(now)
        .filter(binding, organization_id=workspace.organization_id)
        .with_scope_name()
        .select_related("organization")
        .prefetch_related("thresholds")
        .order_by("scope", "id")
    )
    held = dict(Reservation.objects.live().filter(workspace=workspace).values_list("budget", "remaining"))
    return [
        (
            budget,
            page_of("budgets.budget", budget.pk),
            standing(budget, now),
            bar(budget, forecast=_forecast(budget, now)),
            money(budget, held.get(budget.pk, _NOTHING)),
        )
        for budget in found
    ]


def _forecast(budget: Budget, now: datetime) -> Decimal | None:
    ahead = outlook(budget, now=now)
    return ahead.total if ahead is not None else None


def _changes(workspace: WorkSpace) -> Iterator[Event]:
    for change in workspace.state_changes.order_by("-occurred_at", "-id")[:MOST_EVENTS]:
        yield Event(
            change.occurred_at, _ICONS[State(change.to_state)], "State", change.get_to_state_display(), change.reason
        )


def _moves(workspace: WorkSpace) -> Iterator[Event]:
    """Each change of team, project or owner, told by what held before it and what after."""
    becomes = _whose(workspace)
    rows = workspace.attribution_changes.select_related("owner", "team", "project")
    for change in rows.order_by("-occurred_at", "-id")[:MOST_EVENTS]:
        was = _whose(change)
        if was != becomes:
            told = ", ".join(f"{name} {was[name]} → {becomes[name]}" for name in was if was[name] != becomes[name])
            yield Event(change.occurred_at, "drive_file_move", "Charged to", told)
        becomes = was


def _whose(row: WorkSpace | AttributionChange) -> dict[str, str]:
    """Whom a machine's hours are charged to: as it is now, or as it was until a change."""
    return {"owner": str(row.owner), "team": str(row.team), "project": str(row.project) if row.project else "none"}


def _operations(user: Any, workspace: WorkSpace, opens: Callable[[str], bool]) -> Iterator[Event]:
    if not opens("operations.operation"):
        return
    seen = Operation.objects.visible_to(user).filter(target_id=workspace.pk)
    for operation in seen.order_by("-created_at", "-id")[:MOST_EVENTS]:
        verb = operation.kind.rpartition(".")[2].replace("-", " ").replace("_", " ")
        yield Event(
            operation.created_at,
            "pending_actions",
            "Operation",
            f"{verb}, {operation.status}",
            operation.error.get("detail", ""),
            page_of("operations.operation", operation.pk),
        )
