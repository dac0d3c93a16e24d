"""Links by which people choose a password: they stand in mail alone, hold for a while, and work once.

What makes a link one stands behind its #: browsers send that to nobody, so no access log, proxy or trace has it.
Nothing of a link is kept. It is made while its mail is sent: signed by SECRET_KEY, it names the person and bears a
digest of what changes when it is used (the password) or needed no longer (the last sign-in, the address).
"""

from __future__ import annotations

import hmac
from datetime import datetime
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils.crypto import salted_hmac

from forge.accounts.backends import may_sign_in
from forge.accounts.models import User
from forge.accounts.signin.providers import IdentityProvider
from forge.api.errors import Denied

_SALT = "forge.accounts.links"
_DIGITS = 32


class LinkNotValid(Denied):
    code = "link_not_valid"
    title = "The link is not valid any more"
    suggested_action = "Ask for another one by “Forgot your password?” on the sign-in page."


def address_of(user: User, *, until: datetime) -> str:
    """The link for the person, which holds until then and until it is used."""
    token = signing.dumps([user.pk.hex, int(until.timestamp()), _digest(user)], salt=_SALT)
    return f"{page('account_choose_password')}#{token}"


def token_in(link: str) -> str:
    """What stands behind the # of a link, or the text itself where it has none."""
    return link.rpartition("#")[2].strip()


def page(name: str) -> str:
    """The address of one of the account's pages, as it stands in mail."""
    return settings.FORGE_BASE_URL.rstrip("/") + reverse(name)


def holder(token: str, *, now: datetime, is_locking: bool = False) -> User:
    """Whose link it is, with `is_locking` locked until the transaction ends.

    Raises LinkNotValid where it was made by nobody, was used, is too old, or its person may choose no password (now).
    """
    try:
        key, until, digest = signing.loads(token, salt=_SALT)
    except signing.BadSignature as error:
        raise LinkNotValid from error
    people = User.objects.select_related("organization")
    if is_locking:
        people = people.select_for_update(no_key=True, of=("self",))
    user = people.filter(pk=UUID(key)).first()
    is_good = user is not None and until > now.timestamp() and hmac.compare_digest(digest, _digest(user))
    if user is None or not is_good or not may_choose(user):
        raise LinkNotValid
    return user


def may_choose(user: User) -> bool:
    """Whether mail may help the person to a password.

    Not services, what is switched off or ended, and whom an identity provider vouches for; and no operators of the
    installation, who get no mail of an organization.
    """
    if user.is_service or user.organization is None or not may_sign_in(user):
        return False
    return user.has_usable_password() or not (
        providers_of(user) or SocialAccount.objects.filter(user_id=user.pk).exists()
    )


def leads_to_provider(user: User) -> bool:
    """Whether the person comes in by an identity provider of the organization."""
    return not user.is_service and may_sign_in(user) and bool(providers_of(user))


def providers_of(user: User) -> list[IdentityProvider]:
    """The identity providers of the person's organization."""
    slug = user.organization.slug if user.organization is not None else None
    return [one for one in settings.FORGE_IDENTITY_PROVIDERS if one.organization == slug]


def _digest(user: User) -> str:
    signed = f"{user.password}|{user.last_login and user.last_login.isoformat()}|{user.email}"
    return salted_hmac(_SALT, signed, algorithm="sha256").hexdigest()[:_DIGITS]
