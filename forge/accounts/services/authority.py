"""Who may change people, and in which organization."""

from __future__ import annotations

import uuid

from audit.actors import Actor
from forge.accounts.models import Organization, User
from forge.api.errors import Denied


class MayNotManagePeople(Denied):
    code = "may_not_manage_people"
    title = "Your role may not do this to people"


class NoOrganization(Denied):
    code = "no_organization"
    title = "Operators of the installation belong to no organization, so they change nothing in one"
    suggested_action = "Act as somebody of the organization."


def organization_of(user: User) -> Organization:
    """The caller's own organization, where a request acts in it; raises NoOrganization for operators."""
    if user.organization is None:
        raise NoOrganization("You run the installation; this belongs to the people of an organization.")
    return user.organization


def require_role(actor: Actor, organization_id: uuid.UUID | None, *roles: str) -> User:
    """The acting person when it is an operator, or holds one of `roles` in that organization.

    Raises MayNotManagePeople.
    """
    user = actor.user
    if isinstance(user, User):
        if user.is_operator:
            return user
        if organization_id is not None and user.organization_id == organization_id and user.has_role(*roles):
            return user
    raise MayNotManagePeople(f"This needs one of the roles: {', '.join(roles)}.")


def require_unless_command(actor: Actor, organization_id: uuid.UUID | None, *roles: str) -> None:
    if actor.kind != "COMMAND":
        require_role(actor, organization_id, *roles)
