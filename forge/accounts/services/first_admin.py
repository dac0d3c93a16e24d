"""The first admin of an organization, whom operators of the installation invite."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import Q, QuerySet

from audit.actors import Actor, Kind
from forge.accounts.models import Membership, Organization, User
from forge.accounts.passwords import set_password
from forge.accounts.services.authority import MayNotManagePeople
from forge.accounts.services.inviting import invite_again, is_awaited
from forge.accounts.services.members import EmailTaken, create_member, switch
from forge.accounts.services.roles import grant_role, take_away
from forge.api.errors import Conflict

Role = Membership.Role
_HAS_COME = Q(user__last_login__isnull=False) | ~Q(user__password__startswith=UNUSABLE_PASSWORD_PREFIX)


class OrganizationHasAdmin(Conflict):
    code = "organization_has_admin"
    title = "The organization has an admin who adds people"
    suggested_action = "Ask one of its admins."


def create_first_admin(
    *, actor: Actor, organization: Organization, email: str, full_name: str, now: datetime
) -> Membership:
    """An admin, invited by mail, of an organization that has none who has come in; for operators of the installation.

    Who was invited before, at another address, and has not come in is replaced: the link and the role end and the
    account is switched off. An address that was invited before is invited again. Raises MayNotManagePeople,
    OrganizationHasAdmin, EmailTaken, and TooMany for an address that was invited a moment ago.
    """
    if actor.kind != Kind.COMMAND and not (isinstance(actor.user, User) and actor.user.is_operator):
        raise MayNotManagePeople("Only operators of the installation add the first admin of an organization.")
    with transaction.atomic():
        list(_locked(awaited_admins(organization)))  # people before their organization, as whoever changes a role
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)  # twins take turns
        if has_admin(organization, now=now):
            raise OrganizationHasAdmin("From the first on, admins add each other.")
        known = User.objects.filter(organization=organization, email__iexact=email.strip()).first()
        for person in _locked(awaited_admins(organization)):
            if person != known:
                _replace(actor, person)
        if known is None:
            return create_member(
                actor=actor, organization=organization, email=email, full_name=full_name, role=Role.ADMIN, now=now
            )
        return _invite(actor, known, now)


def awaited_admins(organization: Organization) -> QuerySet[User]:
    """Who was invited as admin and has not come in yet, the first one first."""
    roles = Membership.objects.filter(~_HAS_COME, organization=organization, role=Role.ADMIN)
    return User.objects.filter(id__in=roles.values("user_id"), kind=User.Kind.PERSON).order_by("id")


def has_admin(organization: Organization, *, now: datetime) -> bool:
    """Whether an admin with a live account has chosen a password or signed in."""
    live = Q(user__credentials_expire_at__isnull=True) | Q(user__credentials_expire_at__gt=now)
    admins = Membership.objects.filter(live, _HAS_COME, organization=organization, role=Role.ADMIN)
    return admins.filter(user__is_active=True).exists()


def _locked(people: QuerySet[User]) -> QuerySet[User]:
    return people.select_for_update(no_key=True)


def _replace(actor: Actor, person: User) -> None:
    """End the link, the role and the account of somebody who was awaited."""
    take_away(actor, Membership.objects.get(user=person, role=Role.ADMIN))
    _switch(actor, person, is_active=False)


def _invite(actor: Actor, person: User, now: datetime) -> Membership:
    """Invite somebody who was awaited before, with role and account as they were."""
    if not is_awaited(person):
        raise EmailTaken("A person of the organization has this email.")
    if not person.is_active:
        _switch(actor, person, is_active=True)
    if not Membership.objects.filter(user=person, role=Role.ADMIN).exists():
        grant_role(actor=actor, user=person, role=Role.ADMIN, team=None, now=now)
    invite_again(actor=actor, user=person, now=now)
    return Membership.objects.get(user=person, role=Role.ADMIN)


def _switch(actor: Actor, person: User, *, is_active: bool) -> None:
    """Switch the account; the links that were sent end either way."""
    set_password(person, None)
    person.save(update_fields=["password", "updated_at"])
    switch(actor, person, is_active=is_active)
