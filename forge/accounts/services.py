"""Every change to organizations, people, teams, projects and their roles."""

from __future__ import annotations

import uuid
import zoneinfo
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.accounts.passwords import set_password
from forge.api.errors import Conflict, Denied, NotFound, Refused
from forge.db.integrity import refusing

Role = Membership.Role


class MayNotManagePeople(Denied):
    code = "may_not_manage_people"
    title = "Your role may not do this to people"


class EmailTaken(Conflict):
    code = "email_taken"
    title = "Somebody has this email already"


class DirectoryUsernameTaken(Conflict):
    code = "directory_username_taken"
    title = "Somebody has this directory user name already"


class SlugTaken(Conflict):
    code = "slug_taken"
    title = "This slug is taken"


class RoleNeedsTeam(Refused):
    code = "role_needs_team"
    title = "This role is held in a team"


class RoleIsOrganizationWide(Refused):
    code = "role_is_organization_wide"
    title = "This role is held in the whole organization, not in a team"


class ContractorNeedsEnd(Refused):
    code = "contractor_needs_end"
    title = "A contractor's credentials must have an end"


class CredentialsEndInPast(Refused):
    code = "credentials_end_in_past"
    title = "The credentials' end must lie in the future"


class UnknownTimeZone(Refused):
    code = "unknown_time_zone"
    title = "Not a time zone of the IANA database"


class NoOrganization(Denied):
    code = "no_organization"
    title = "Operators of the installation belong to no organization, so they change nothing in one"
    suggested_action = "Act as somebody of the organization."


class LastAdmin(Refused):
    code = "last_admin"
    title = "An organization keeps at least one admin"


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


def create_organization(
    *, actor: Actor, slug: str, name: str, timezone: str = "UTC", currency: str = "USD"
) -> Organization:
    """A new organization; for operators of the installation and the command line only."""
    if actor.kind != "COMMAND" and not (isinstance(actor.user, User) and actor.user.is_operator):
        raise MayNotManagePeople("Only operators of the installation make organizations.")
    if timezone not in zoneinfo.available_timezones():
        raise UnknownTimeZone(f"{timezone!r} is not known.")
    with refusing({"accounts_organization_slug_unique": SlugTaken(f"An organization named {slug!r} exists.")}):
        organization = Organization.objects.create(slug=slug, name=name, timezone=timezone, currency=currency)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.ORGANIZATION_CREATE,
            resource_type="Organization",
            resource_id=str(organization.id),
            description=f"Created organization {organization.id}",
            changes={"before": None, "after": {"slug": slug, "timezone": timezone, "currency": currency}},
        )
    return organization


def create_team(*, actor: Actor, organization: Organization, slug: str, name: str) -> Team:
    """A new team; for admins. Raises SlugTaken."""
    _require_unless_command(actor, organization.id, Role.ADMIN)
    with refusing({"accounts_team_slug_unique": SlugTaken(f"A team named {slug!r} exists.")}):
        team = Team.objects.create(organization=organization, slug=slug, name=name)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.TEAM_CREATE,
            resource_type="Team",
            resource_id=str(team.id),
            description=f"Created team {team.id}",
            changes={"before": None, "after": {"slug": slug}},
        )
    return team


def create_project(
    *,
    actor: Actor,
    organization: Organization,
    slug: str,
    name: str,
    cost_center: str = "",
    owner: User | None = None,
    teams: Sequence[Team] = (),
) -> Project:
    """A new project, chargeable by `teams` (none = all); for admins. Raises SlugTaken."""
    _require_unless_command(actor, organization.id, Role.ADMIN)
    if any(team.organization_id != organization.id for team in teams):
        raise NotFound("No such team.")
    if owner is not None and owner.organization_id != organization.id:
        raise NotFound("No such person.")
    with refusing({"accounts_project_slug_unique": SlugTaken(f"A project named {slug!r} exists.")}):
        project = Project.objects.create(
            organization=organization, slug=slug, name=name, cost_center=cost_center, owner=owner
        )
        project.teams.set(teams)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.PROJECT_CREATE,
            resource_type="Project",
            resource_id=str(project.id),
            description=f"Created project {project.id}",
            changes={
                "before": None,
                "after": {"slug": slug, "cost_center": cost_center, "teams": sorted(str(team.id) for team in teams)},
            },
        )
    return project


def create_member(
    *,
    actor: Actor,
    organization: Organization,
    email: str,
    full_name: str,
    role: str,
    now: datetime,
    team: Team | None = None,
    directory_username: str = "",
    location: str = "",
    credentials_expire_at: datetime | None = None,
    password: str | None = None,
) -> Membership:
    """A new person with a first role: admins make anybody, leads contractors and engineers of their team.

    Without `password` the person signs in only by a token or another way in. Raises MayNotManagePeople, EmailTaken,
    RoleNeedsTeam, RoleIsOrganizationWide, ContractorNeedsEnd, CredentialsEndInPast, PasswordRefused.
    """
    _require_may_grant(actor, organization=organization, role=role, team=team)
    _check_role(organization=organization, role=role, team=team, expire_at=credentials_expire_at, now=now)
    user = User(
        organization=organization,
        email=email.strip(),
        full_name=full_name,
        directory_username=directory_username,
        location=location,
        credentials_expire_at=credentials_expire_at,
    )
    set_password(user, password)
    taken = {
        "accounts_user_email_unique_whatever_case": EmailTaken("Another person has this email."),
        "accounts_user_directory_username_unique": DirectoryUsernameTaken("Another person has this directory user."),
    }
    with refusing(taken):
        user.save(force_insert=True)
        membership = Membership.objects.create(organization=organization, user=user, team=team, role=role)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.MEMBER_CREATE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Created user {user.id} as {role}",
            changes={"before": None, "after": _role_facts(membership)},
        )
    return membership


def grant_role(*, actor: Actor, user: User, role: str, now: datetime, team: Team | None = None) -> Membership:
    """Give a person the role in the team (or organization-wide), in place of the one held there."""
    organization = user.organization
    if organization is None:
        raise NotFound("No such person.")
    _require_may_grant(actor, organization=organization, role=role, team=team)
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _check_role(organization=organization, role=role, team=team, expire_at=locked.credentials_expire_at, now=now)
        _require_may_add(actor, user)
        held = Membership.objects.filter(user=user, team=team).first()
        before = _role_facts(held) if held else None
        if held is not None:
            _keep_an_admin(held, becomes=role)
        membership, _ = Membership.objects.update_or_create(
            user=user, team=team, defaults={"role": role, "organization": organization}
        )
        record(
            actor=actor.in_organization(organization.id),
            action=actions.ROLE_CHANGE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"User {user.id} is now {role}",
            changes={"before": before, "after": _role_facts(membership)},
        )
    return membership


def revoke_role(*, actor: Actor, membership: Membership) -> None:
    """Take a role away; the person and what it did stay."""
    organization = membership.organization
    _require_may_grant(actor, organization=organization, role=membership.role, team=membership.team)
    with transaction.atomic():
        held = Membership.objects.select_for_update(no_key=True).filter(pk=membership.pk).first()
        if held is None:
            raise NotFound("Somebody else has just taken the role away.")
        _require_may_grant(actor, organization=organization, role=held.role, team=membership.team)
        _keep_an_admin(held, becomes=None)
        before = _role_facts(held)
        held.delete()
        record(
            actor=actor.in_organization(membership.organization_id),
            action=actions.ROLE_CHANGE,
            resource_type="User",
            resource_id=str(membership.user_id),
            description=f"User {membership.user_id} is no longer {before['role']}",
            changes={"before": before, "after": None},
        )


def set_active(*, actor: Actor, user: User, is_active: bool) -> User:
    """Switch a person's account on or off; for admins. Sessions and tokens of a person who is off do not work.

    Raises LastAdmin.
    """
    _require_unless_command(actor, user.organization_id, Role.ADMIN)
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        before = locked.is_active
        held = None if is_active else Membership.objects.filter(user=locked, role=Role.ADMIN).first()
        if held is not None:
            _keep_an_admin(held, becomes=None)
        locked.is_active = is_active
        locked.save(update_fields=["is_active", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.MEMBER_UPDATE,
            resource_type="User",
            resource_id=str(locked.id),
            description=f"Switched user {locked.id} {'on' if is_active else 'off'}",
            changes={"before": {"is_active": before}, "after": {"is_active": is_active}},
        )
    return locked


def _require_unless_command(actor: Actor, organization_id: uuid.UUID | None, *roles: str) -> None:
    if actor.kind != "COMMAND":
        require_role(actor, organization_id, *roles)


def _require_may_grant(actor: Actor, *, organization: Organization, role: str, team: Team | None) -> None:
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


def _check_role(
    *, organization: Organization, role: str, team: Team | None, expire_at: datetime | None, now: datetime
) -> None:
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


def _keep_an_admin(held: Membership, *, becomes: str | None) -> None:
    if held.role != Role.ADMIN or becomes == Role.ADMIN:
        return
    Organization.objects.select_for_update(no_key=True).get(pk=held.organization_id)
    others = Membership.objects.filter(
        organization_id=held.organization_id, role=Role.ADMIN, user__is_active=True
    ).exclude(pk=held.pk)
    if not others.exists():
        raise LastAdmin("Make somebody else an admin first.")


def _role_facts(membership: Membership) -> dict[str, Any]:
    return {"role": str(membership.role), "team": str(membership.team_id) if membership.team_id else None}
