"""Who may set and change budgets (the role table of docs/roles.md).

Finance and admins set all of their organization. A team lead sets those of the people of a team that he or she leads,
within the team's own: never more than each of the team's budgets that share a day with it. A lead does not raise a
budget that has reached its limit: not by its amount, nor by switching it off and setting a larger one; and switches off
only what he or she has set.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db.models import F

from audit.actors import Actor
from budgets.figures import money
from budgets.models import Budget
from forge.accounts.models import Membership, User
from forge.api.errors import Denied

Role = Membership.Role
WHO_SETS = "Team leads set the budgets of their teams' people; finance and admins set all."


class MayNotSetBudget(Denied):
    code = "may_not_set_budget"
    title = "Your role may not set this budget"


class BeyondTeamBudget(Denied):
    code = "beyond_team_budget"
    title = "A person's budget stays within the team's own"
    suggested_action = "Choose a smaller amount, or ask finance."


class MayNotRaisePastLimit(Denied):
    code = "may_not_raise_past_limit"
    title = "Your role may not raise a budget that is used up"
    suggested_action = "Ask finance or an admin."


class MayNotSwitchOff(Denied):
    code = "may_not_switch_off"
    title = "Your role may not switch off a budget that somebody else has set"
    suggested_action = "Ask finance or an admin."


def require_some(actor: Actor) -> None:
    """Raises MayNotSetBudget unless the actor sets any budgets at all."""
    user = actor.user
    if isinstance(user, User) and not (_sets_all(user) or user.has_role(Role.TEAM_LEAD)):
        raise MayNotSetBudget(WHO_SETS)


def require_role(actor: Actor, budget: Budget) -> None:
    """Raises MayNotSetBudget unless the actor sets budgets of this scope at all.

    Asked before anything is locked or looked up, so that who may not set it does not learn whether there is such a
    person, team or project.
    """
    if actor.has_account:
        user = _member(actor, budget)
        if not _sets_all(user):
            _led_teams(user, budget)


def require_set(actor: Actor, budget: Budget) -> None:
    """Raises MayNotSetBudget, BeyondTeamBudget or MayNotRaisePastLimit unless the actor may set this budget."""
    if not actor.has_account:
        return
    user = _member(actor, budget)
    if not _sets_all(user):
        _require_within_team(_led_teams(user, budget), budget, budget.amount)
        _require_no_more_than_used_up(budget, budget.amount)


def require_change(actor: Actor, budget: Budget, wanted: Mapping[str, Any]) -> None:
    """Raises what `require_set` does, for the amount wanted, or MayNotSwitchOff."""
    if not actor.has_account:
        return
    user = _member(actor, budget)
    if _sets_all(user):
        return
    amount = wanted.get("amount", budget.amount)
    _require_within_team(_led_teams(user, budget), budget, amount)
    switched_off = wanted.get("is_active") is False
    if budget.is_used_up and (amount > budget.amount or switched_off):
        raise MayNotRaisePastLimit(_used_up(budget))
    if switched_off and budget.set_by_id != user.id:
        raise MayNotSwitchOff("Team leads switch off the budgets that they have set.")
    if wanted.get("is_active") or amount > budget.amount:
        _require_no_more_than_used_up(budget, amount)


def require_raise(actor: Actor, budget: Budget) -> None:
    """Raises MayNotRaisePastLimit unless the actor may approve a raise for a time, or move money between budgets."""
    if actor.has_account and not _sets_all(_member(actor, budget)):
        raise MayNotRaisePastLimit("Finance and admins raise a budget for a time and move money between budgets.")


def require_some_raise(actor: Actor) -> None:
    """The same, before it is known of which budget."""
    if isinstance(actor.user, User) and not _sets_all(actor.user):
        raise MayNotRaisePastLimit("Finance and admins raise a budget for a time and move money between budgets.")


def may_raise(user: User, budget: Budget) -> bool:
    """True when the person may do that."""
    return may_change(user, budget) and _sets_all(user)


def may_change(user: User, budget: Budget) -> bool:
    """True when the person may change the budget's terms, whatever the amount."""
    if user.is_operator:
        return True
    return user.organization_id == budget.organization_id and (_sets_all(user) or bool(_teams_of(user, budget)))


def may_switch_off(user: User, budget: Budget) -> bool:
    """True when the person may switch the budget off."""
    own = budget.set_by_id == user.id and not budget.is_used_up
    return may_change(user, budget) and (own or _sets_all(user))


def _member(actor: Actor, budget: Budget) -> User:
    user = actor.user
    if isinstance(user, User) and (user.is_operator or user.organization_id == budget.organization_id):
        return user
    raise MayNotSetBudget("It belongs to another organization.")


def _sets_all(user: User) -> bool:
    return user.is_operator or user.has_role(Role.FINANCE, Role.ADMIN)


def _led_teams(user: User, budget: Budget) -> list[Any]:
    teams = _teams_of(user, budget)
    if not teams:
        raise MayNotSetBudget(WHO_SETS)
    return teams


def _require_within_team(teams: list[Any], budget: Budget, amount: Decimal) -> None:
    held_by = Budget.objects.filter(
        scope=Budget.Scope.TEAM,
        scope_id__in=teams,
        is_active=True,
        period_start__lt=budget.period_end,
        period_end__gt=budget.period_start,
    )
    own = held_by.annotate(own=F("amount") + F("transferred"))
    narrow = own.filter(own__lt=amount).order_by("own").first()
    if narrow is not None:
        raise BeyondTeamBudget(
            f"The team's own budget is {money(narrow.own)}.",
            extra={"team_limit": money(narrow.own), "team_budget": str(narrow.id)},
        )


def _require_no_more_than_used_up(budget: Budget, amount: Decimal) -> None:
    """A budget that was used up and switched off is not followed by a larger one of the same time."""
    gone = Budget.objects.of(budget.scope, budget.scope_id).filter(
        organization=budget.organization_id,
        is_active=False,
        period_start__lt=budget.period_end,
        period_end__gt=budget.period_start,
        spent__gte=F("amount") + F("transferred"),
        amount__lt=amount,
    )
    used_up = gone.exclude(pk=budget.pk).first()
    if used_up is not None:
        raise MayNotRaisePastLimit(_used_up(used_up), extra={"budget": str(used_up.id)})


def _used_up(budget: Budget) -> str:
    return f"{budget} has {money(budget.spent)} spent of {money(budget.amount)}."


def _teams_of(user: User, budget: Budget) -> list[Any]:
    """Teams that the person leads and to which the budget's person belongs; none for budgets of other scopes."""
    if budget.scope != Budget.Scope.USER:
        return []
    led = Membership.objects.filter(user_id=budget.scope_id, team__in=user.led_team_ids())
    return list(led.values_list("team_id", flat=True))
