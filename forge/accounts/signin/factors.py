"""Second factors: which a person has, whether the session has shown one, and changing them with their audit entry."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, User
from forge.accounts.services.authority import require_role
from forge.accounts.signin.sessions import revoke_all
from forge.api.errors import Conflict, Denied
from forge.outbox.services import Owed, owe

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
"""What counts as a second factor; recovery codes only stand in for one."""

WANTED_PAGE = "wanted_page"
"""Where the session keeps the page that was opened before its person had set up the factor that it takes."""


class SecondFactorRequired(Denied):
    code = "second_factor_required"
    title = "A second factor is required"
    suggested_action = "Set one up under /account/2fa/, then sign in with it."


class NoSecondFactor(Conflict):
    code = "no_second_factor"
    title = "The person has no second factor"


def close(text: str) -> str:
    """A secret as it stands in the row: a copy of the database makes no codes."""
    return _keys().encrypt(text.encode()).decode()


def open_(text: str) -> str:
    """What `close` has closed, with an earlier SECRET_KEY too."""
    return _keys().decrypt(text.encode()).decode()


def page_of_proof(user: User) -> str | None:
    """Name of the page on which the person shows a second factor again; None for somebody who has none."""
    kinds = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    if kinds.isdisjoint(FACTORS):
        return None
    is_key_only = kinds == {Authenticator.Type.WEBAUTHN}
    return "mfa_reauthenticate_webauthn" if is_key_only else "mfa_reauthenticate"


def has_shown_factor(request: HttpRequest) -> bool:
    """Whether the session was opened, or later confirmed, with a second factor."""
    return any(one.get("method") == "mfa" for one in get_authentication_records(request, request.user))


def is_short_of_factor(request: HttpRequest) -> bool:
    """True for a session that must show a second factor before it may do anything else."""
    return settings.FORGE_MFA_REQUIRED and request.user.is_authenticated and not has_shown_factor(request)


def held(user: User) -> list[dict[str, Any]]:
    """The person's factors as the audit log tells of them: their ids and kinds, nothing secret."""
    rows = Authenticator.objects.filter(user=user).order_by("id").values_list("id", "type", "created_at")
    return [{"id": key, "type": kind, "created_at": at} for key, kind, at in rows]


def record_change(*, actor: Actor, user: User, action: str, before: list[dict[str, Any]], described: str) -> None:
    """The entry of a change to a person's factors, and a mail to the person; in the transaction of the change."""
    now = timezone.now()
    record(
        actor=actor.in_organization(user.organization_id),
        action=action,
        resource_type="User",
        resource_id=str(user.id),
        description=f"{described} of user {user.id}",
        changes={"before": {"factors": before}, "after": {"factors": held(user)}},
    )
    if user.organization_id is not None:
        owe(
            [
                Owed(
                    organization_id=user.organization_id,
                    recipient_id=user.id,
                    kind="account.factors_changed",
                    target_type="User",
                    target_id=user.id,
                    once=now.isoformat(),
                    facts={"action": action, "at": now.isoformat()},
                    correlation_id=actor.correlation_id,
                )
            ],
            now=now,
        )


def reset(*, actor: Actor, user: User) -> None:
    """Take away every factor of somebody who has lost them, and end the sessions; for admins, never for oneself.

    Raises MayNotManagePeople, NoSecondFactor.
    """
    require_role(actor, user.organization_id, Membership.Role.ADMIN)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not take_away(user, actor=actor):
            raise NoSecondFactor("There is nothing to reset.")
        revoke_all(actor=actor, user=user)


def take_away(user: User, *, actor: Actor) -> bool:
    """Remove every factor of a person, with its entry; False where there is none. In the caller's transaction."""
    before = held(user)
    if not before:
        return False
    Authenticator.objects.filter(user=user).delete()
    record_change(actor=actor, user=user, action=actions.MFA_RESET, before=before, described="Reset the second factors")
    return True


def _keys() -> MultiFernet:
    return MultiFernet([_key(text) for text in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(text: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=32, person=b"factors").digest()))
