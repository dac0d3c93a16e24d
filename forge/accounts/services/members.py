"""Making people, and switching their accounts on and off."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Team, User
from forge.accounts.passwords import set_password
from forge.accounts.services.authority import require_unless_command
from forge.accounts.services.inviting import invitation
from forge.accounts.services.roles import check_role, grant_role, keep_an_admin, require_may_grant, role_facts
from forge.api.errors import Conflict, Refused
from forge.db.integrity import refusing
from forge.outbox.services import owe

Role = Membership.Role


class EmailTaken(Conflict):
    code = "email_taken"
    title = "Somebody has this email already"
    advice = "Use another address, or look for who has this one."


class DirectoryUsernameTaken(Conflict):
    code = "directory_username_taken"
    title = "Somebody has this directory user name already"
    advice = "Use another name, or look for who has this one."


class PersonIsThere(Refused):
    code = "person_is_there"
    title = "The organization has this person already, with other facts"
    suggested_action = "Leave these fields out."


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

    Without `password` the person is invited by mail to choose one. Raises MayNotManagePeople, EmailTaken,
    RoleNeedsTeam, RoleIsOrganizationWide, ContractorNeedsEnd, CredentialsEndInPast, PasswordRefused.
    """
    require_may_grant(actor, organization=organization, role=role, team=team)
    check_role(organization=organization, role=role, team=team, expire_at=credentials_expire_at, now=now)
    user = User(
        organization=organization,
        email=email.strip(),
        full_name=full_name,
        directory_username=directory_username,
        location=location,
        credentials_expire_at=credentials_expire_at,
    )
    set_password(user, password)
    invited_at = None if password else now
    return _make(actor, user, organization=organization, role=role, team=team, invited_at=invited_at)


def join_by_provider(*, actor: Actor, organization: Organization, email: str, full_name: str, team: Team) -> Membership:
    """An engineer of `team`, for whom the organization's identity provider vouches; no password opens the account.

    The caller has seen that the provider may add people. Raises EmailTaken.
    """
    user = User(organization=organization, email=email.strip(), full_name=full_name)
    set_password(user, None)
    return _make(actor, user, organization=organization, role=Role.ENGINEER, team=team)


def add_member(
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
) -> Membership:
    """A role for whoever has the email: for somebody new by `create_member`, else by `grant_role`.

    The name of somebody who is there stays as it is. Raises PersonIsThere, and what the two raise.
    """
    known = User.objects.filter(organization=organization, email__iexact=email.strip()).first()
    if known is None:
        return create_member(
            actor=actor,
            organization=organization,
            email=email,
            full_name=full_name,
            role=role,
            now=now,
            team=team,
            directory_username=directory_username,
            location=location,
            credentials_expire_at=credentials_expire_at,
        )
    asked = {"directory_username": directory_username, "location": location}
    if others := sorted(name for name, value in asked.items() if value and value != getattr(known, name)):
        raise PersonIsThere(f"A role changes nothing else of a person: {', '.join(others)}.", extra={"fields": others})
    return grant_role(
        actor=actor, user=known, role=role, team=team, now=now, credentials_expire_at=credentials_expire_at
    )


def set_active(*, actor: Actor, user: User, is_active: bool) -> User:
    """Switch a person's account on or off; for admins. Sessions and tokens of a person who is off do not work.

    Raises LastAdmin.
    """
    require_unless_command(actor, user.organization_id, Role.ADMIN)
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        held = None if is_active else Membership.objects.filter(user=locked, role=Role.ADMIN).first()
        if held is not None:
            keep_an_admin(held, becomes=None)
        return switch(actor, locked, is_active=is_active)


def switch(actor: Actor, person: User, *, is_active: bool) -> User:
    """Switch the account of a person, locked, with its entry; whether the actor may has been asked."""
    before, person.is_active = person.is_active, is_active
    person.save(update_fields=["is_active", "updated_at"])
    record(
        actor=actor.in_organization(person.organization_id),
        action=actions.MEMBER_UPDATE,
        resource_type="User",
        resource_id=str(person.id),
        description=f"Switched user {person.id} {'on' if is_active else 'off'}",
        changes={"before": {"is_active": before}, "after": {"is_active": is_active}},
    )
    return person


def _make(
    actor: Actor,
    user: User,
    *,
    organization: Organization,
    role: str,
    team: Team | None,
    invited_at: datetime | None = None,
) -> Membership:
    taken = {
        "accounts_user_email_unique_whatever_case": EmailTaken("Another person has this email."),
        "accounts_user_directory_username_unique": DirectoryUsernameTaken("Another person has this directory user."),
    }
    with refusing(taken):
        user.save(force_insert=True)
        membership = Membership.objects.create(organization=organization, user=user, team=team, role=role)
        record(
            actor=actor.in_organization(user.organization_id),
            action=actions.MEMBER_CREATE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Created user {user.id} as {role}",
            changes={"before": None, "after": role_facts(membership)},
        )
        if invited_at is not None:
            owe([invitation(user, organization)], now=invited_at)
    return membership
