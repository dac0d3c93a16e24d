"""The guard itself: one answer for every kind of intent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from budgets.guards.common import rate_for, scopes_of
from budgets.guards.launching import launch
from budgets.guards.modifying import modify
from budgets.guards.moving import move
from budgets.guards.starting import start
from budgets.guards.taking_on import take_on
from costs.pricing import hour_up
from workspaces.intents import Intent

_BY_KIND = {"launch": launch, "start": start, "modify": modify, "adopt": take_on, "move": move}


def reserve(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Set the machine's money aside in every budget that binds it, or refuse with the figures.

    Answers hourly and monthly (of a launch: its price, as a quote names it), estimated_cost, reservation (the largest
    of the budgets' amounts; where none binds and nothing is set aside, what a budget of this month would hold, as a
    quote says), currency, basis, is_price_current and budgets. What is there already is held at the price by which
    metering books it, the last one where that has ended (`is_price_current` false). Raises BudgetExceeded, naming every
    budget without room; RepairFirst when a binding budget is not adopted or came while the locks were waited for; what
    the price book refuses. A dry run neither locks nor writes.
    """
    rate = rate_for(replace(intent, now=hour_up(intent.now)) if intent.kind == "move" else intent)
    scopes = scopes_of(intent)
    return _BY_KIND[intent.kind](intent, scopes, rate, dry_run=dry_run)
