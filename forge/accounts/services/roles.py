"""Giving roles and taking them away."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Team, User
from forge.accounts.services.authority import MayNotManagePeople, require_role
from forge.api.errors import NotFound, Refused

Role = Membership.Role


class RoleNeedsTeam(Refused):
    code = "role_needs_team"
    title = "This role is held in a team"


class RoleIsOrganizationWide(Refused):
    code = "role_is_organization_wide"
    title = "This role is held in the whole organization, not in a team"


class RoleNotOfServices(Refused):
    code = "role_not_of_services"
    title = "A service account has no role in which somebody is responsible for others"


class ContractorNeedsEnd(Refused):
    code = "contractor_needs_end"
    title = "A contractor's credentials must have an end"


class CredentialsEndInPast(Refused):
    code = "credentials_end_in_past"
    title = "The credentials' end must lie in the future"


class LastAdmin(Refused):
    code = "last_admin"
    title = "An organization keeps at least one admin"


def grant_role(
    *,
    actor: Actor,
    user: User,
    role: str,
    now: datetime,
    team: Team | None = None,
    credentials_expire_at: datetime | None = None,
) -> Membership:
    """Give a person the role in the team (or organization-wide), in place of the one held there.

    `credentials_expire_at` is the new end of the person's credentials; without it the present one stays. A lead sets
    it only for people who have no role outside the lead's teams. Raises MayNotManagePeople, RoleNeedsTeam,
    RoleIsOrganizationWide, ContractorNeedsEnd, CredentialsEndInPast, LastAdmin.
    """
    organization = user.organization
    if organization is None:
        raise NotFound("No such person.")
    require_may_grant(actor, organization=organization, role=role, team=team)
    with transaction.atomic():
        locked = _lock(user.pk)
        end = credentials_expire_at or locked.credentials_expire_at
        check_role(organization=organization, role=role, team=team, expire_at=end, now=now, user=locked)
        _require_may_add(actor, user)
        held = Membership.objects.filter(user=user, team=team).first()
        before = _facts(held, locked) if held else None
        if held is not None:
            keep_an_admin(held, becomes=role)
        if end != locked.credentials_expire_at:
            _require_may_set_end(actor, user)
            before = before or {"credentials_expire_at": locked.credentials_expire_at}
            locked.credentials_expire_at = end
            locked.save(update_fields=["credentials_expire_at", "updated_at"])
        membership, _ = Membership.objects.update_or_create(
            user=locked, team=team, defaults={"role": role, "organization": organization}
        )
        record(
            actor=actor.in_organization(organization.id),
            action=actions.ROLE_CHANGE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"User {user.id} is now {role}",
            changes={"before": before, "after": _facts(membership, locked)},
        )
    return membership


def revoke_role(*, actor: Actor, membership: Membership) -> None:
    """Take a role away; the person and what it did stay. Raises MayNotManagePeople, LastAdmin."""
    organization = membership.organization
    require_may_grant(actor, organization=organization, role=membership.role, team=membership.team)
    with transaction.atomic():
        _lock(membership.user_id)
        held = Membership.objects.filter(pk=membership.pk).first()
        if held is None:
            raise NotFound("Somebody else has just taken the role away.")
        require_may_grant(actor, organization=organization, role=held.role, team=membership.team)
        keep_an_admin(held, becomes=None)
        take_away(actor, held)


def take_away(actor: Actor, held: Membership) -> None:
    """End a role that is held, with its entry; whether the actor may has been asked."""
    before = role_facts(held)
    held.delete()
    record(
        actor=actor.in_organization(held.organization_id),
        action=actions.ROLE_CHANGE,
        resource_type="User",
        resource_id=str(held.user_id),
        description=f"User {held.user_id} is no longer {before['role']}",
        changes={"before": before, "after": None},
    )


def _lock(user_id: uuid.UUID) -> User:
    """The person, locked: whoever changes somebody's roles or account takes this lock first, then keep_an_admin's."""
    return User.objects.select_for_update(no_key=True).get(pk=user_id)


def require_may_grant(actor: Actor, *, organization: Organization, role: str, team: Team | None) -> None:
    if actor.kind == "COMMAND":
        return
    user = require_role(actor, organization.id, Role.ADMIN, Role.TEAM_LEAD)
    if user.is_operator or user.has_role(Role.ADMIN):
        return
    led = team is not None and team.id in user.led_team_ids()
    if not led or role not in (Role.CONTRACTOR, Role.ENGINEER):
        raise MayNotManagePeople("A team lead gives the roles contractor and engineer, in teams that he or she leads.")


def _require_may_add(actor: Actor, user: User) -> None:
    """A lead adds nobody who oversees others: with the role in the team would come power over that person."""
    if actor.kind == "COMMAND" or actor.user.is_operator or actor.user.has_role(Role.ADMIN):
        return
    if Membership.objects.filter(user=user, role__in=Membership.OVERSIGHT).exists():
        raise MayNotManagePeople("Whoever leads a team or has a role in the whole organization is added by an admin.")


def _require_may_set_end(actor: Actor, user: User) -> None:
    """A lead sets no end for people of other teams: an early one would lock them out there too."""
    if actor.kind == "COMMAND" or actor.user.is_operator or actor.user.has_role(Role.ADMIN):
        return
    if Membership.objects.filter(user=user).exclude(team_id__in=actor.user.led_team_ids()).exists():
        raise MayNotManagePeople("The person has roles outside your teams, so an admin sets when the credentials end.")


def check_role(
    *,
    organization: Organization,
    role: str,
    team: Team | None,
    expire_at: datetime | None,
    now: datetime,
    user: User | None = None,
) -> None:
    if user is not None and user.is_service and role not in Membership.OF_SERVICES:
        raise RoleNotOfServices(f"It can be one of: {', '.join(Membership.OF_SERVICES)}.")
    if team is not None and team.organization_id != organization.id:
        raise NotFound("No such team.")
    if role in Membership.IN_TEAM and team is None:
        raise RoleNeedsTeam(f"Name the team in which the person is {role}.")
    if role in Membership.ORGANIZATION_WIDE and team is not None:
        raise RoleIsOrganizationWide(f"Leave the team out: {role} holds everywhere.")
    if role == Role.CONTRACTOR and expire_at is None:
        raise ContractorNeedsEnd("Set credentials_expire_at.")
    if expire_at is not None and expire_at <= now:
        raise CredentialsEndInPast("Set credentials_expire_at to a time to come.")


def keep_an_admin(held: Membership, *, becomes: str | None) -> None:
    """Raise LastAdmin unless another admin who can sign in is left; locks the organization, so twins take turns."""
    if held.role != Role.ADMIN or becomes == Role.ADMIN:
        return
    Organization.objects.select_for_update(no_key=True).get(pk=held.organization_id)
    live = Q(user__credentials_expire_at__isnull=True) | Q(user__credentials_expire_at__gt=Now())
    others = Membership.objects.filter(
        live, organization_id=held.organization_id, role=Role.ADMIN, user__is_active=True
    ).exclude(pk=held.pk)
    if not others.exists():
        raise LastAdmin("Make somebody else an admin first.")


def role_facts(membership: Membership) -> dict[str, Any]:
    return {"role": str(membership.role), "team": str(membership.team_id) if membership.team_id else None}


def _facts(membership: Membership, user: User) -> dict[str, Any]:
    return role_facts(membership) | {"credentials_expire_at": user.credentials_expire_at}
