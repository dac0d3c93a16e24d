"""The money of a start, where a budget says BLOCK_STARTS."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings

from budgets import binding, holding
from budgets.adoption import adopt_binding
from budgets.binding import Bound, Rate, Scopes
from budgets.figures import bound_figures, money
from budgets.guards.common import adopted, terms_of
from budgets.guards.refusing import refuse_without_room
from budgets.ledger import LOW_HOURS
from budgets.models import Budget, Reservation
from budgets.rates import month_ahead
from costs.pricing import hour_up
from workspaces.intents import Intent, RepairFirst


def start(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Refuse only where a budget says BLOCK_STARTS and cannot hold what the machine will soon need beyond its own.

    There the machine's reservation is topped up to that, under the budgets' locks: of two starts at once the second
    sees what the first has taken. Elsewhere nothing is reserved; metering tops up what runs low.
    """
    bound = _with_additions(intent, scopes, rate)
    if not dry_run:
        locked = holding.lock(budget.id for budget in bound if _blocks_starts(budget))
        bound = _with_additions(intent, scopes, rate) if locked else bound
        unseen = [budget for budget in bound if _blocks_starts(budget) and budget.id not in locked]
        if unseen or not all(budget.is_adopted for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    bound = adopted(bound, now=intent.now)
    strict = [budget for budget in bound if _blocks_starts(budget)]
    refuse_without_room(strict, scopes=scopes, intent=intent)
    if not dry_run:
        for budget in strict:
            holding.top_up(intent, budget)
    return {
        "estimated_cost": money(
            month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=settings.FORGE_RESERVE_HOURS)
        ),
        "reservation": money(max((budget.needed for budget in bound), default=Decimal(0))),
        **terms_of(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }


def _with_additions(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind, each needing what a start must add to what the machine holds there: 0 in most.

    What it will soon need is what metering tops up below: the fees of the hours that are not booked yet, and eight
    hours of running.
    """
    bound = binding.read(
        scopes=scopes,
        now=intent.now,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=LOW_HOURS,
        fees_from=hour_up(intent.now),
    )
    held = dict(
        Reservation.objects.live()
        .filter(workspace_id=intent.workspace_id, budget_id__in=[budget.id for budget in bound])
        .values_list("budget_id", "remaining")
    )
    return [
        budget.needing(
            max(budget.needed - held.get(budget.id, Decimal(0)), Decimal(0)) if _blocks_starts(budget) else Decimal(0)
        )
        for budget in bound
    ]


def _blocks_starts(budget: Bound) -> bool:
    return budget.on_limit == Budget.OnLimit.BLOCK_STARTS
