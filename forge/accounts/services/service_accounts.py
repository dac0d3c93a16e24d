"""Accounts of services: they act by tokens alone, in roles that oversee nobody."""

from __future__ import annotations

import re
from datetime import datetime

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Team, User
from forge.accounts.passwords import set_password
from forge.accounts.rules import holds, slug_rule
from forge.accounts.services.authority import require_unless_command
from forge.accounts.services.organizations import NotASlug
from forge.accounts.services.roles import check_role, role_facts
from forge.api.errors import Conflict
from forge.db.integrity import refusing

Role = Membership.Role


class ServiceNameTaken(Conflict):
    code = "service_name_taken"
    title = "The organization has a service account of this name"
    advice = "Choose another."


def create_service_account(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    role: str,
    now: datetime,
    team: Team | None = None,
    credentials_expire_at: datetime | None = None,
) -> Membership:
    """A service with its one role; for admins. Its address is made of the name and reaches nobody.

    Raises MayNotManagePeople, NotASlug, ServiceNameTaken, RoleNotOfServices, RoleNeedsTeam, RoleIsOrganizationWide,
    CredentialsEndInPast.
    """
    require_unless_command(actor, organization.id, Role.ADMIN)
    if not holds(slug_rule, name):
        raise NotASlug(str(slug_rule.message))
    user = User(
        kind=User.Kind.SERVICE,
        organization=organization,
        email=f"{name.lower()}@{re.sub('[^a-z0-9-]', '-', organization.slug.lower())}.service.invalid",
        full_name=name,
        credentials_expire_at=credentials_expire_at,
    )
    check_role(organization=organization, role=role, team=team, expire_at=credentials_expire_at, now=now, user=user)
    set_password(user, None)
    taken = ServiceNameTaken(f"{name!r} is there already.")
    with refusing({"accounts_user_email_unique_whatever_case": taken}):
        user.save(force_insert=True)
        membership = Membership.objects.create(organization=organization, user=user, team=team, role=role)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.SERVICE_ACCOUNT_CREATE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Created service account {user.id} as {role}",
            changes={"before": None, "after": role_facts(membership)},
        )
    return membership
