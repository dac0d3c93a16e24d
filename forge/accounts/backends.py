"""Sign-in by email and password, whatever the email's case."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest
from django.utils import timezone

from forge.accounts.models import User


class EmailBackend(BaseBackend):
    """Refuses people who are switched off, past their credentials' end, or of a closed organization."""

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
        if not user.check_password(password):
            return None
        return user if may_sign_in(user) else None

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.select_related("organization").filter(pk=user_id).first()
        return user if user is not None and may_sign_in(user) else None


def may_sign_in(user: User) -> bool:
    """True while the account, its credentials and its organization are all live."""
    closed = user.organization is not None and not user.organization.is_active
    return user.credentials_valid(timezone.now()) and not closed
