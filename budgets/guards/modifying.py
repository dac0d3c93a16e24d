"""The money of a modification: what the machine will need beyond what it needs now."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings

from budgets import binding, holding, leaving
from budgets.adoption import adopt_binding
from budgets.binding import Bound, Rate, Scopes
from budgets.figures import bound_figures, money
from budgets.guards.common import adopted, machine_of, terms_of
from budgets.guards.refusing import refuse_without_room
from budgets.rates import kind_of, month_ahead, rate_or_nothing
from costs.dues import modes_of
from costs.pricing import hour_up
from workspaces.intents import Intent, RepairFirst


def modify(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Reserve in every budget that binds what the machine will need there more than it does, or refuse.

    What needs no more is never refused, however full a budget is: it is how people bring their costs down.
    """
    bound = _differences(intent, scopes, rate)
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound)
        bound = _differences(intent, scopes, rate)
        if not all(budget.id in locked and budget.is_adopted for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    bound = adopted(bound, now=intent.now)
    dearer = [budget for budget in bound if budget.needed]
    refuse_without_room(dearer, scopes=scopes, intent=intent)
    if not dry_run:
        for budget in dearer:
            holding.top_up(intent, budget)
    estimated = month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=settings.FORGE_RESERVE_HOURS)
    return {
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **terms_of(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }


def _differences(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind, each needing what the changed machine must hold there beyond what it must hold now.

    Both are the fees of the hours that begin after now and FORGE_RESERVE_HOURS of running, as they will be charged
    (costs.dues): a switch to AlwaysOn saves the hours only, one to AutoStop changes nothing before the month's end.
    What is kept for the hour that has begun (budgets.leaving) is the machine's too: it ends in the hour or lives on.
    """
    machine = machine_of(intent)
    modes = modes_of(machine, now=intent.now)
    before = rate_or_nothing(intent.organization, kind_of(machine), modes=modes, now=intent.now)
    what: dict[str, Any] = {
        "scopes": scopes,
        "now": intent.now,
        "lifetime_end": intent.lifetime_end,
        "hours": settings.FORGE_RESERVE_HOURS,
        "fees_from": hour_up(intent.now),
    }
    needed = {budget.id: budget.needed for budget in binding.read(**what, rate=before)}
    bound, none = binding.read(**what, rate=rate), Decimal(0)
    kept = leaving.kept_of(machine, bound, now=intent.now)
    return [
        budget.needing(max(budget.needed - max(needed.get(budget.id, none), kept.get(budget.id, none)), none))
        for budget in bound
    ]
