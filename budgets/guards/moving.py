"""The money of a move: from the budgets that the machine leaves to those that it enters."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from budgets import binding, holding, leaving
from budgets.adoption import adopt_binding
from budgets.binding import Bound, Rate, Scopes
from budgets.figures import bound_figures, instant, money
from budgets.guards.common import adopted, machine_of, terms_of
from budgets.guards.refusing import refuse_without_room
from budgets.models import Budget, Reservation
from budgets.rates import month_ahead
from costs import metering
from costs.pricing import hour_up
from workspaces.intents import Intent, RepairFirst


def move(intent: Intent, scopes: Scopes, rate: Rate, *, dry_run: bool) -> dict[str, Any]:
    """Hold the machine's money in the budgets of the team and project it comes to, and give back what others hold.

    Hours that began before the move stay with those that it leaves, and are booked before these give anything back;
    what the running one may still bring they keep until it is over (budgets.leaving). What the machine needs is
    reckoned from the next hour on. The budgets of its person and of the organization hold what they held. Those of a
    period that begins with the next hour are asked, and hold its money once they are adopted.
    """
    charged_from = hour_up(intent.now)
    entered, left = _entered(intent, scopes, rate), _left(intent)
    if not dry_run:
        touched = [*(budget.id for budget in entered), *left.values_list("budget_id", flat=True)]
        metering.advance(workspace=machine_of(intent), now=intent.now, locking=touched)
        locked = holding.lock(touched)
        entered = _entered(intent, scopes, rate)
        to_adopt = [one for one in entered if one.period_start <= intent.now and not one.is_adopted]
        if to_adopt or not all(budget.id in locked for budget in entered):
            raise RepairFirst(partial(adopt_binding, scopes=scopes, now=intent.now))
    entered = adopted(entered, now=intent.now)
    refuse_without_room(entered, scopes=scopes, intent=intent)
    held = list(left)
    keeps = leaving.keeps(machine_of(intent), held, now=intent.now)
    released = [_released(one, keeps.get(one.id, Decimal(0))) for one in held]
    if not dry_run:
        for budget in (one for one in entered if one.is_adopted):
            holding.top_up(intent, budget)
        for one in held:
            if one.id in keeps:
                leaving.keep(one, keeps[one.id], until=charged_from)
        holding.release((one for one in held if one.id not in keeps), now=intent.now)
    hours = settings.FORGE_RESERVE_HOURS
    estimated = month_ahead(rate, now=charged_from, lifetime_end=intent.lifetime_end, hours=hours)
    return {
        "estimated_cost": money(estimated),
        "reservation": money(max((budget.needed for budget in entered), default=Decimal(0))),
        **terms_of(intent, rate),
        "charged_from": instant(charged_from),
        "budgets": [bound_figures(budget, scopes) for budget in entered],
        "released": released,
    }


def _entered(intent: Intent, scopes: Scopes, rate: Rate) -> list[Bound]:
    """The budgets that bind a machine only once it has moved, each needing what it costs from the next hour on.

    One that it has left within the running hour needs only what is beyond what it keeps, or will once it is adopted.
    """
    machine, charged_from = machine_of(intent), hour_up(intent.now)
    stays: dict[str, Any] = {Budget.Scope.TEAM: machine.team_id, Budget.Scope.PROJECT: machine.project_id}
    bound = binding.read(
        scopes=scopes,
        now=charged_from,
        lifetime_end=intent.lifetime_end,
        rate=rate,
        hours=settings.FORGE_RESERVE_HOURS,
        fees_from=charged_from,
    )
    entered = [budget for budget in bound if budget.scope in stays and budget.scope_id != stays[budget.scope]]
    kept = leaving.kept_of(machine, entered, now=intent.now)
    return [budget.needing(max(budget.needed - kept.get(budget.id, Decimal(0)), Decimal(0))) for budget in entered]


def _released(one: Reservation, kept: Decimal) -> dict[str, str]:
    return {
        "id": str(one.budget_id),
        "scope": one.budget.scope,
        "released": money(one.remaining - kept),
        "kept": money(kept),
    }


def _left(intent: Intent) -> QuerySet[Reservation]:
    """What budgets of teams and projects that the machine will not be of hold for it, those of past periods too."""
    other_team = Q(budget__scope=Budget.Scope.TEAM) & ~Q(budget__scope_id=intent.team.id)
    other_project = Q(budget__scope=Budget.Scope.PROJECT)
    if intent.project is not None:
        other_project &= ~Q(budget__scope_id=intent.project.id)
    held = Reservation.objects.live().filter(other_team | other_project, workspace_id=intent.workspace_id)
    return held.select_related("budget").order_by("budget_id")
