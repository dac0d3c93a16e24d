"""The money of a machine that is taken over: it costs already."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings

from budgets import binding, holding
from budgets.adoption import adopt_binding
from budgets.binding import Rate, Scopes
from budgets.figures import bound_figures, money
from budgets.guards.common import terms_of
from workspaces.intents import Intent, RepairFirst


def take_on(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Set the money of a machine that runs already aside, whether it fits or not: its cost comes in any case."""
    read = partial(
        binding.read,
        scopes=scopes,
        now=intent.now,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=settings.FORGE_RESERVE_HOURS,
    )
    bound = read()
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound)
        bound = read()
        if not all(budget.is_adopted and budget.id in locked for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
        for budget in bound:
            holding.top_up(intent, budget)
    return {
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **terms_of(intent, rate),
        "over_limit": [bound_figures(budget, scopes) for budget in bound if not budget.has_room],
    }
