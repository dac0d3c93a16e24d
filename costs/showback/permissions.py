"""Whose reports a person may have: finance and admins all of the organization's, leads those of their teams."""

from __future__ import annotations

import uuid

from audit.actors import Actor
from costs.permissions import PRICING, MayNotExportCosts
from costs.showback.models import CHARGED, ReportBy, ReportKind
from forge.accounts.models import Team, User
from forge.api.errors import BadRequest


class NotChargeable(BadRequest):
    code = "not_chargeable"
    title = "Costs are not charged to that"
    suggested_action = "Ask for a CHARGEBACK by project or cost_center, or for a SHOWBACK."
    advice = "Ask for a CHARGEBACK by project or cost center, or for a SHOWBACK."


class TeamRequired(BadRequest):
    code = "team_required"
    title = "Which team's?"
    suggested_action = "Name one of the teams."


def require_kind(kind: ReportKind, by: ReportBy) -> None:
    """Raises NotChargeable."""
    if kind == ReportKind.CHARGEBACK and by not in CHARGED:
        raise NotChargeable(f"Nothing is charged to a {by.label}; a chargeback is by project or cost center.")


def may_have(user: User, organization_id: uuid.UUID, team_id: uuid.UUID | None) -> bool:
    """True when the person may have the reports of that scope; team None = the whole organization."""
    if user.organization_id != organization_id:
        return False
    return user.has_role(*PRICING) or (team_id is not None and team_id in user.led_team_ids())


def require_scope(actor: Actor, organization_id: uuid.UUID, team: Team | None) -> None:
    """Raises MayNotExportCosts unless the actor is a job, a command, or somebody who may have that scope's reports."""
    if not actor.has_account:
        return
    if not (isinstance(actor.user, User) and may_have(actor.user, organization_id, team.id if team else None)):
        raise MayNotExportCosts("Finance and admins have all reports, team leads those of their teams.")


def own_team(user: User) -> Team | None:
    """The scope of who names no team: the whole organization for finance and admins, a lead's only team.

    Raises MayNotExportCosts, and TeamRequired with the slugs of the teams of who leads several.
    """
    if user.has_role(*PRICING):
        return None
    teams = list(Team.objects.filter(id__in=user.led_team_ids()).order_by("slug"))
    if not teams:
        raise MayNotExportCosts("Finance and admins have all reports, team leads those of their teams.")
    if len(teams) > 1:
        raise TeamRequired("You lead several teams.", extra={"teams": [team.slug for team in teams]})
    return teams[0]
