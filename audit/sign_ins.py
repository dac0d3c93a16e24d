"""Sign-in, sign-out and failed sign-in: the one place where Django's signals are listened to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from audit import actions
from audit.actors import Actor
from audit.capture import is_first
from audit.entries import DENIED
from audit.services import record

MAX_IDENTIFIER = 254


@receiver(user_logged_in, dispatch_uid="audit.sign_in")
def record_sign_in(*, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """AUTH_LOGIN; when it cannot be written the sign-in fails."""
    with transaction.atomic():
        record(
            actor=_person(request, user),
            action=actions.AUTH_LOGIN,
            resource_type="User",
            resource_id=str(user.pk),
            description=f"User {user.pk} signed in",
        )


@receiver(user_logged_out, dispatch_uid="audit.sign_out")
def record_sign_out(*, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """AUTH_LOGOUT; nothing where nobody was signed in."""
    if user is None:
        return
    with transaction.atomic():
        record(
            actor=_person(request, user),
            action=actions.AUTH_LOGOUT,
            resource_type="User",
            resource_id=str(user.pk),
            description=f"User {user.pk} signed out",
        )


@receiver(user_login_failed, dispatch_uid="audit.failed_sign_in")
def record_failed_sign_in(*, credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    """AUTH_FAILED with the address that was tried, as a personal value; counted like a 401 from the second on.

    What has not the form of an address is left out: people type their password into the wrong field.
    """
    tried = str(credentials.get("username") or "")[:MAX_IDENTIFIER].replace("\x00", "")
    with transaction.atomic():
        if request is not None and not is_first(request, actions.AUTH_FAILED):
            return
        record(
            actor=Actor.of_request(request) if request is not None else Actor.command("sign-in"),
            action=actions.AUTH_FAILED,
            result=DENIED,
            description="A sign-in failed",
            context={"identifier": tried} if "@" in tried else {},
        )


def _person(request: HttpRequest, user: Any) -> Actor:
    """The person of the signal: at sign-in and sign-out the request may still name another, or nobody."""
    return Actor.of_request(request, user=user)
