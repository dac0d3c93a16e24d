"""The money of a launch: set aside in every budget that binds, by one SQL call."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings

from budgets import binding
from budgets.adoption import adopt_binding
from budgets.binding import Rate, Scopes
from budgets.figures import bound_figures, money
from budgets.guards.common import adopted, terms_of
from budgets.guards.refusing import refuse_without_room
from budgets.models import EXPIRES_AFTER
from budgets.rates import month_ahead
from workspaces.intents import Intent, RepairFirst


def launch(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Reserve the fees to come and FORGE_RESERVE_HOURS of running in all of them, or in none and refuse."""
    hours = settings.FORGE_RESERVE_HOURS
    what = {"scopes": scopes, "now": intent.now, "lifetime_end": intent.lifetime_end, "rate": rate, "hours": hours}
    if dry_run:
        bound = adopted(binding.read(**what), now=intent.now)
    else:
        bound = binding.reserve(
            **what,
            workspace_id=intent.workspace_id,
            operation_id=intent.operation_id,
            correlation_id=intent.correlation_id,
            expires_at=intent.now + EXPIRES_AFTER,
        )
        if any(budget.obstacle in ("changed", "not_adopted") for budget in bound):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    refuse_without_room(bound, scopes=scopes, intent=intent)
    estimated = month_ahead(rate, now=intent.now, lifetime_end=intent.lifetime_end, hours=hours)
    return {
        "hourly": money(rate.hourly),
        "monthly": money(rate.fee + rate.storage_fee),
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in bound), default=estimated)),
        **terms_of(intent, rate),
        "budgets": [bound_figures(budget, scopes) for budget in bound],
    }
