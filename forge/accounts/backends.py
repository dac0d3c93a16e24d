"""Sign-in by email and password, whatever the email's case."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.actors import Actor
from forge.accounts.models import User
from forge.accounts.signin import guarding


class EmailBackend(BaseBackend):
    """Refuses people who are switched off, past their credentials' end, of a closed organization, or locked out."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if not username or not password or "\x00" in username:
            return None
        user = User.objects.select_related("organization").filter(email__iexact=username).first()
        if user is None:
            make_password(password)  # as slow as a check, so that timing does not tell who exists
            return None
        if request is not None:
            # Tells refusals apart in the audit log's counts.
            request.credential_tried = user.pk.hex  # type: ignore[attr-defined]
        return user if _fits(user, password, request) and may_sign_in(user) else None

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.select_related("organization").filter(pk=user_id).first()
        return user if user is not None and not user.is_service and may_sign_in(user) else None


def may_sign_in(user: User) -> bool:
    """True while the account, its credentials and its organization are all live."""
    closed = user.organization is not None and not user.organization.is_active
    return user.credentials_valid(timezone.now()) and not closed


def _fits(user: User, password: str, request: HttpRequest | None) -> bool:
    """Whether the password is right and the account open; guesses at once wait for each other and all count."""
    now = timezone.now()
    actor = Actor.of_request(request) if request is not None else Actor.command("sign-in")
    with transaction.atomic():
        guard = guarding.take(user)
        is_right = user.check_password(password)
        if guard.is_locked(now):
            return False
        if is_right:
            guarding.note_success(guard)
        else:
            guarding.note_failure(guard, actor=actor, user=user, now=now)
    return is_right
