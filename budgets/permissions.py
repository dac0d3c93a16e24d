"""Who may set and change budgets (the role table of docs/roles.md).

Finance and admins set all of their organization. A team lead sets those of the people of a team that he or she leads,
within the team's own: never more than each of the team's budgets that share a day with it. A lead does not raise a
budget that has reached its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from audit.actors import Actor, Kind
from budgets.figures import money
from budgets.models import Budget
from forge.accounts.models import Membership, User
from forge.api.errors import Denied

Role = Membership.Role


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


def require_set(actor: Actor, budget: Budget) -> None:
    """Raises MayNotSetBudget or BeyondTeamBudget unless the actor may set this budget."""
    if actor.kind != Kind.USER:
        return
    user = _member(actor, budget)
    if not _sets_all(user):
        _require_lead(user, budget, budget.amount)


def require_change(actor: Actor, budget: Budget, wanted: Mapping[str, Any]) -> None:
    """Raises what `require_set` does, for the amount wanted, or MayNotRaisePastLimit."""
    if actor.kind != Kind.USER:
        return
    user = _member(actor, budget)
    if _sets_all(user):
        return
    amount = wanted.get("amount", budget.amount)
    _require_lead(user, budget, amount)
    if budget.is_limit_reached and amount > budget.amount:
        raise MayNotRaisePastLimit(f"Budget {budget.id} has {money(budget.spent)} spent of {money(budget.amount)}.")


def may_set_some(user: User) -> bool:
    """True for roles that set any budgets at all."""
    return user.is_operator or user.has_role(Role.FINANCE, Role.ADMIN, Role.TEAM_LEAD)


def may_change(user: User, budget: Budget) -> bool:
    """True when the person may change the budget's terms, whatever the amount."""
    if user.is_operator:
        return True
    return user.organization_id == budget.organization_id and (_sets_all(user) or bool(_teams_of(user, budget)))


def _member(actor: Actor, budget: Budget) -> User:
    user = actor.user
    if isinstance(user, User) and (user.is_operator or user.organization_id == budget.organization_id):
        return user
    raise MayNotSetBudget("It belongs to another organization.")


def _sets_all(user: User) -> bool:
    return user.is_operator or user.has_role(Role.FINANCE, Role.ADMIN)


def _require_lead(user: User, budget: Budget, amount: Decimal) -> None:
    teams = _teams_of(user, budget)
    if not teams:
        raise MayNotSetBudget("Team leads set the budgets of their teams' people; finance and admins set all.")
    held_by = Budget.objects.filter(
        scope=Budget.Scope.TEAM,
        scope_id__in=teams,
        is_active=True,
        period_start__lt=budget.period_end,
        period_end__gt=budget.period_start,
    )
    narrow = held_by.filter(amount__lt=amount).order_by("amount").first()
    if narrow is not None:
        raise BeyondTeamBudget(
            f"The team's own budget is {money(narrow.amount)}.",
            extra={"team_limit": money(narrow.amount), "team_budget": str(narrow.id)},
        )


def _teams_of(user: User, budget: Budget) -> list[Any]:
    """Teams that the person leads and to which the budget's person belongs; none for budgets of other scopes."""
    if budget.scope != Budget.Scope.USER:
        return []
    led = Membership.objects.filter(user_id=budget.scope_id, team__in=user.led_team_ids())
    return list(led.values_list("team_id", flat=True))
