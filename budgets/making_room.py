"""Which machines would make room in a budget: those that rest or that nobody uses, and how much each gives back."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from budgets import leaving
from budgets.binding import Rate
from budgets.figures import money
from budgets.models import Reservation
from budgets.rates import Kind, kind_of, rate_or_nothing, rest_of_month
from costs.dues import Modes
from costs.models import CostRecord
from costs.pricing import hour_of
from forge.accounts.models import User
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.permissions import may
from workspaces.rules.evidence import evidence_of
from workspaces.services.control import legal_of

SUGGESTED = 5
LOOKED_AT = 200
"""Of the machines that hold most, so many are judged."""

WAYS = ("stop", "terminate")


def suggestions(*, budget_id: uuid.UUID, user: User | None, now: datetime) -> list[dict[str, Any]]:
    """At most five machines that the person sees, the one that gives back most first; [] for nobody.

    `frees` is what the budget gets back when the machine ends now: what it holds, less the fees that it then owes for
    the rest of its month. `saves_per_hour` is what a stop saves; it gives nothing back at once, since a machine that
    rests keeps its money for its next start. `actions` are those of the two that the person may ask for. A machine
    that runs is there only when its samples say that it is idle; one that has left the budget is not. One that became
    cheaper in the hour that has begun owes, if it ends in it, as what it was.
    """
    if user is None:
        return []
    held = (
        Reservation.objects.live()
        .filter(
            leaving.IS_STILL_BOUND,
            budget_id=budget_id,
            workspace__in=WorkSpace.objects.visible_to(user),
            workspace__state__in=(State.AVAILABLE, State.STOPPED),
        )
        .select_related("workspace__organization", "workspace__owner")
        .annotate(modes=Modes(now, "workspace__"))
        .order_by("-remaining", "id")[:LOOKED_AT]
    )
    found = list(held)
    running = [one.workspace for one in found if one.workspace.state == State.AVAILABLE]
    evidence = evidence_of(running, now=now) if running else {}
    kept = [one.workspace_id for one in found if one.kept_until]
    records = CostRecord.objects.filter(workspace_id__in=kept, period_start=hour_of(now)) if kept else ()
    booked = {record.workspace_id: record for record in records}
    rates: dict[tuple[Kind, str], Rate] = {}
    offered = []
    for one in found:
        machine = one.workspace
        if machine.state == State.AVAILABLE and not evidence[machine.id].is_idle:
            continue
        rate = _rate(machine, kind_of(machine), one.modes, rates, now)
        owing = _rate(machine, leaving.kind_then(machine, booked.get(machine.id)), one.modes, rates, now)
        frees = one.remaining - rest_of_month(owing, now)
        if frees > 0:
            offered.append((frees, machine, rate))
    offered.sort(key=lambda one: (-one[0], one[1].id))
    return [_shown(machine, frees, rate, user) for frees, machine, rate in offered[:SUGGESTED]]


def _rate(machine: WorkSpace, kind: Kind, modes: str, known: dict[tuple[Kind, str], Rate], now: datetime) -> Rate:
    if (kind, modes) not in known:
        known[kind, modes] = rate_or_nothing(machine.organization, kind, modes=modes, now=now)
    return known[kind, modes]


def _shown(machine: WorkSpace, frees: Decimal, rate: Rate, user: User) -> dict[str, Any]:
    legal = legal_of(machine)
    costs_by_hour = machine.state == State.AVAILABLE and not (rate.dues and rate.dues.runs_free)
    return {
        "workspace": str(machine.id),
        "name": machine.name,
        "owner": machine.owner.email,
        "state": machine.state,
        "frees": money(frees),
        "saves_per_hour": money(rate.hourly if costs_by_hour else Decimal(0)),
        "actions": [action for action in WAYS if action in legal and may(user, action, machine)],
    }
