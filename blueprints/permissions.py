"""Who may draft and publish blueprints (the role table of docs/roles.md)."""

from __future__ import annotations

import uuid

from audit.actors import Actor
from forge.accounts.models import Membership, User
from forge.api.errors import Denied

Role = Membership.Role
DRAFTING = (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN)
PUBLISHING = (Role.TEAM_LEAD, Role.ADMIN)


class MayNotChangeBlueprints(Denied):
    code = "may_not_change_blueprints"
    title = "Your role may not do this to the team's blueprints"


def may(user: object, organization_id: uuid.UUID, team_id: uuid.UUID | None, roles: tuple[str, ...]) -> bool:
    """True when the person holds one of `roles` in the team or in the whole organization (team None: only there)."""
    if not isinstance(user, User) or user.organization_id != organization_id:
        return False
    return any(role in roles for role, team in user.roles if team is None or team == team_id)


def require(actor: Actor, *, organization_id: uuid.UUID, team_id: uuid.UUID | None, roles: tuple[str, ...]) -> None:
    """Raises MayNotChangeBlueprints unless the actor is a command, or a person with one of `roles` there."""
    if actor.kind != "COMMAND" and not may(actor.user, organization_id, team_id, roles):
        where = "this team" if team_id else "the whole organization"
        raise MayNotChangeBlueprints(f"In {where} this needs one of the roles: {', '.join(roles)}.")
