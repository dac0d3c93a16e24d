"""Would an amount fit? Answered without a lock and without a write."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from budgets import binding
from budgets.binding import Rate, Scopes
from budgets.figures import bound_figures, money
from budgets.guards import adopted
from forge.accounts.models import Membership, Project, Team, User
from forge.api.errors import BadRequest, Refused

Role = Membership.Role


class UnknownPayer(Refused):
    code = "unknown_payer"
    title = "You may not charge this person, team or project"


class TeamRequired(BadRequest):
    code = "team_required"
    title = "Say which team pays"


def would_fit(
    *,
    user: User,
    amount: Decimal,
    now: datetime,
    owner: str | None = None,
    team: str | None = None,
    project: str | None = None,
) -> dict[str, Any]:
    """{fits, needed, currency, budgets}: every budget that binds the payers now, before and after the amount.

    Without `team` the caller's only team. Raises UnknownPayer, TeamRequired.
    """
    if user.organization is None:
        raise UnknownPayer("Operators of the installation belong to no organization and charge nothing.")
    payer = _person(user, owner)
    payers = Scopes(
        organization=(user.organization.id, user.organization.slug),
        user=(payer.id, payer.email),
        team=_named(_team(user, payer, team)),
        project=_named(_project(user, project)),
    )
    nothing = Rate(Decimal(0), Decimal(0), Decimal(0))
    bound = binding.read(scopes=payers, now=now, lifetime_end=now, rate=nothing, hours=0)
    bound = [budget.needing(amount) for budget in adopted(bound, now=now)]
    return {
        "fits": all(budget.has_room for budget in bound),
        "needed": money(amount),
        "currency": user.organization.currency,
        "budgets": [bound_figures(budget, payers) for budget in bound],
    }


def _person(user: User, email: str | None) -> User:
    if email is None or email.lower() == user.email.lower():
        return user
    found = User.objects.visible_to(user).filter(email__iexact=email).first()
    if found is None or not user.has_role(Role.TEAM_LEAD, Role.FINANCE, Role.ADMIN):
        raise UnknownPayer("You may not ask for this person.")
    return found


def _team(user: User, payer: User, slug: str | None) -> Team | None:
    teams = list(Team.objects.visible_to(user).filter(id__in=payer.team_ids()).order_by("slug"))
    if slug is not None:
        team = Team.objects.visible_to(user).filter(slug=slug).first()
        if team is None:
            raise UnknownPayer(f"You see no team {slug!r}.")
        return team
    if len(teams) > 1:
        names = [team.slug for team in teams]
        raise TeamRequired(f"Give `team` as one of: {', '.join(names)}.", extra={"teams": names})
    return next(iter(teams), None)


def _project(user: User, slug: str | None) -> Project | None:
    if slug is None:
        return None
    project = Project.objects.visible_to(user).filter(slug=slug).first()
    if project is None:
        raise UnknownPayer(f"You may not charge a project {slug!r}.")
    return project


def _named(scope: Team | Project | None) -> tuple[Any, str] | None:
    return (scope.id, scope.slug) if scope is not None else None
