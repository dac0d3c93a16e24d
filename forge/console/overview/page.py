"""The overview put together: the parts that a role is responsible for first, and none that it may not open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from forge.accounts.models import Membership
from forge.console.overview import machines, money, proof

Role = Membership.Role

MONEY, MACHINES, PROOF = "money", "machines", "proof"

ORDER = {
    Role.ADMIN: (MACHINES, MONEY, PROOF),
    Role.AUDITOR: (PROOF, MONEY, MACHINES),
    Role.FINANCE: (MONEY, MACHINES, PROOF),
    Role.TEAM_LEAD: (MACHINES, MONEY, PROOF),
}
"""The parts in the order of what a role looks after; who has several is shown the first of these roles' order."""


def overview(user: Any, now: datetime, *, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Template context; `opens(label)` says whether the person may open the list of that model."""
    made = {MONEY: _money, MACHINES: _machines, PROOF: _proof}
    order = next((ORDER[role] for role in ORDER if user.has_role(role)), ORDER[Role.ADMIN])
    parts = [(name, made[name](user, now, opens)) for name in order]
    return {"parts": [(name, part) for name, part in parts if part]}


def _money(user: Any, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Of an organization alone: several have several currencies."""
    if user.is_operator or not opens("costs.dailycost"):
        return {}
    chart, shares = money.spend_by_team(user, now)
    figures = [*money.figures(user, now), money.savings(user)]
    return {"figures": figures, "chart": chart, "shares": shares, "gauges": money.gauges(user, now)}


def _machines(user: Any, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    if not opens("workspaces.workspace"):
        return {}
    figures = list(machines.launches(user, now)) if opens("operations.operation") else []
    if opens("workspaces.finding"):
        figures.append(machines.findings(user))
    return {"states": machines.states(user), "figures": figures}


def _proof(user: Any, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    figures = proof.figures(now) if opens("audit.auditverification") else []
    if user.is_operator or user.has_role(*Membership.ORGANIZATION_WIDE):
        figures.append(money.books(user))
    return {"figures": figures} if figures else {}
