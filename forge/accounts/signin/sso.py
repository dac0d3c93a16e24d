"""Whom an identity provider's word stands for: a person of the provider's own organization, or nobody.

Found by the identity that was linked before, else by `external_id`, else by a verified email; what is found is linked.
Nobody comes into an organization by it unless its provider says to which team (`sign_up_team`), and nobody whose
account has ended, is locked away or is another organization's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.backends import may_sign_in
from forge.accounts.models import Organization, Team, User
from forge.accounts.services.members import join_by_provider
from forge.accounts.signin.providers import IdentityProvider
from forge.accounts.signin.refusing import AccountEnded, refusal_page
from forge.api.errors import Denied, Problem


class NotAPerson(Denied):
    code = "sso_unknown_person"
    title = "Your organization has no account for you here"


class OtherOrganization(Denied):
    code = "sso_other_organization"
    title = "This account belongs to another organization"


class NotConnectable(Denied):
    code = "sso_only_signs_in"
    title = "An identity provider signs in and does nothing else"


class ProviderFailed(Denied):
    code = "sso_failed"
    title = "The identity provider did not say who you are"


class SocialAdapter(DefaultSocialAccountAdapter):
    """Asks `person_of` whose sign-in it is; what a provider tells beside that is not kept."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: Mapping[str, Any]) -> User:
        """The name, for somebody who is added; claims are not kept in the row, they are the provider's to hold."""
        parts = " ".join(filter(None, (data.get("first_name"), data.get("last_name"))))
        sociallogin.user.full_name = str(data.get("name") or parts or data.get("email") or "")[:200]
        sociallogin.account.extra_data = {}
        return sociallogin.user

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Puts the person into the sign-in; a refusal is a page, and its entry is AUTH_FAILED."""
        try:
            if sociallogin.state.get("process") != AuthProcess.LOGIN:
                raise NotConnectable("Sign in by it on the sign-in page.")
            sociallogin.user = person_of(sociallogin, request=request, now=timezone.now())
        except Problem as problem:
            raise ImmediateHttpResponse(refusal_page(request, problem)) from None

    def on_authentication_error(self, request: HttpRequest, provider: Any, **kwargs: Any) -> None:
        raise ImmediateHttpResponse(refusal_page(request, ProviderFailed("Try again; if it stays so, tell an admin.")))


def person_of(login: SocialLogin, *, request: HttpRequest, now: datetime) -> User:
    """The person, linked to the identity; raises NotAPerson, OtherOrganization, AccountEnded."""
    provider = provider_named(login.account.provider)
    actor = Actor.of_request(request)
    if login.is_existing:
        user = User.objects.select_related("organization").get(pk=login.user.pk)
        require_of(provider, user)
        return user
    with transaction.atomic():
        organization = Organization.objects.filter(slug=provider.organization, is_active=True).first()
        if organization is None:
            raise NotAPerson(f"{provider.name} serves no organization that is live.")
        email = _verified_email(login.email_addresses, provider)
        found = _find(organization, uid=login.account.uid, email=email)
        if found is None:
            found = _sign_up(provider, organization, login, email, actor=actor, now=now)
        require_of(provider, found)
        _link(found, login, provider, actor=actor)
    return found


def provider_named(key: str) -> IdentityProvider:
    """The provider of that id; raises NotAPerson where the settings do not have it any more."""
    for one in settings.FORGE_IDENTITY_PROVIDERS:
        if one.id == key:
            return one
    raise NotAPerson("The identity provider is not set up here any more.")


def require_of(provider: IdentityProvider, user: User) -> None:
    """Raises OtherOrganization, AccountEnded."""
    if user.organization is None or user.organization.slug != provider.organization:
        raise OtherOrganization(f"{provider.name} does not speak for it.")
    if user.is_service or not may_sign_in(user):
        raise AccountEnded()


def _verified_email(addresses: list[EmailAddress], provider: IdentityProvider) -> str | None:
    """An address that the provider has verified; the word "true" is no truth, some send "false" as a word too."""
    for one in addresses:
        if one.verified is True or provider.trust_email:
            return one.email
    return None


def _find(organization: Organization, *, uid: str, email: str | None) -> User | None:
    people = User.objects.select_related("organization").filter(organization=organization)
    by_id = list(people.filter(external_id=uid)[:2])
    if len(by_id) == 1:
        return by_id[0]
    return people.filter(email__iexact=email).first() if email else None


def _sign_up(
    provider: IdentityProvider,
    organization: Organization,
    login: SocialLogin,
    email: str | None,
    *,
    actor: Actor,
    now: datetime,
) -> User:
    if not provider.sign_up_team or not email:
        raise NotAPerson("Ask an admin of your organization to add you, with the address that you sign in by.")
    if User.objects.filter(email__iexact=email).exists():
        raise OtherOrganization(f"{provider.name} does not speak for it.")
    team = Team.objects.filter(organization=organization, slug=provider.sign_up_team).first()
    if team is None:
        raise NotAPerson(f"The team {provider.sign_up_team!r}, to which {provider.name} adds people, is not there.")
    membership = join_by_provider(
        actor=actor, organization=organization, email=email, full_name=login.user.full_name, team=team
    )
    return membership.user


def _link(user: User, login: SocialLogin, provider: IdentityProvider, *, actor: Actor) -> None:
    """Remember the identity; the entry names the provider and the account, the identity itself is personal."""
    kept, is_new = SocialAccount.objects.get_or_create(
        provider=login.account.provider, uid=login.account.uid, defaults={"user": user}
    )
    login.account = kept
    if not is_new:
        if kept.user_id != user.id:
            raise OtherOrganization("Somebody else has just been linked to this identity.")
        return
    record(
        actor=replace(actor, organization_id=user.organization_id),
        action=actions.IDENTITY_LINK,
        resource_type="User",
        resource_id=str(user.id),
        description=f"Linked user {user.id} to an identity of {provider.id}",
        changes={"before": None, "after": {"provider": provider.id, "uid": login.account.uid}},
    )
