"""Who calls the API: a bearer token, or the browser's session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from forge.accounts import tokens
from forge.accounts.backends import may_sign_in
from forge.accounts.models import ApiToken, User
from forge.accounts.signin.factors import SecondFactorRequired, is_short_of_factor
from forge.api.errors import CsrfFailed, Unauthenticated

_LAST_USED_STEP = timedelta(minutes=1)


class InvalidToken(Unauthenticated):
    code = "invalid_token"
    title = "The token is not valid"


class TokenExpired(InvalidToken):
    code = "token_expired"
    title = "The token has expired or was revoked"


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer forge_…`; the secret is compared in constant time with its hash."""

    keyword = b"bearer"

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword:
            return None
        if len(words) != 2:
            raise InvalidToken("Send the header as `Authorization: Bearer <token>`.")
        token = self._live_token(request, words[1])
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="forge"'

    @staticmethod
    def _live_token(request: Request, raw: bytes) -> ApiToken:
        sent = tokens.parse(raw.decode("latin-1"))
        found = (
            ApiToken.objects.select_related("user__organization").filter(prefix=sent.prefix).first() if sent else None
        )
        if found is not None:
            http: Any = getattr(request, "_request", request)
            http.credential_tried = found.prefix  # tells refusals apart in the audit log's counts
        if sent is None or found is None or not sent.matches(bytes(found.secret_hash)):
            raise InvalidToken("No such token.")
        now = timezone.now()
        if not found.is_live(now):
            raise TokenExpired("Ask for a new one under /api/v1/tokens/.")
        if not may_sign_in(found.user):
            raise TokenExpired("The person's credentials have ended.")
        if found.last_used_at is None or now - found.last_used_at >= _LAST_USED_STEP:
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        return found


class SessionAuthentication(DRFSessionAuthentication):
    """The browser's session, with CSRF; answers 401 (not 403) when nobody is signed in."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Whose session it is; raises SecondFactorRequired for one that has not shown the factor that is required."""
        found = super().authenticate(request)
        if found is not None and is_short_of_factor(request._request):
            raise SecondFactorRequired("The session was opened by a password alone.")
        return found

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="forge"'

    def enforce_csrf(self, request: Request) -> None:
        """Raises CsrfFailed, for which DRF, unlike for an error of its own, does not forget whose session it was."""
        try:
            super().enforce_csrf(request)
        except PermissionDenied as refusal:
            raise CsrfFailed(str(refusal.detail)) from None
