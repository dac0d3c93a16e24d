"""Every request in the scope of whoever asks (forge.db.scope), so that PostgreSQL hides what other organizations own.

RequestScopeMiddleware makes a request nobody's; SessionScopeMiddleware gives it to the person of the browser's session,
and `InOwnScope` to the one whom an authenticator of the API found. Signing in looks for a person in all organizations,
so the views that do it (FORGE_SIGN_IN_VIEWS) work in the system's scope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from forge.db import scope


class RequestScopeMiddleware:
    """Begins a request as nobody's, and lets an answer that is streamed end in the scope that it had."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with scope.request():
            response = self.get_response(request)
            if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
                response.streaming_content = scope.streamed(response.streaming_content)  # type: ignore[arg-type]
            return response


class SessionScopeMiddleware:
    """Gives a request with a session to its person."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if SESSION_KEY in request.session:
            with scope.system():
                user: Any = request.user
                is_known = user.is_authenticated
            if is_known:
                _give_to(user)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: object) -> None:
        """Let whoever is about to sign in be looked for in all organizations."""
        match = request.resolver_match
        if match is not None and match.view_name in settings.FORGE_SIGN_IN_VIEWS:
            scope.belongs_to(None)


class InOwnScope(APIView):
    """A view of the API: whoever asks is looked for in all organizations, and the rest is done in that one's scope."""

    def perform_authentication(self, request: Request) -> None:
        with scope.system():
            super().perform_authentication(request)
        if request.user.is_authenticated:
            _give_to(request.user)


def _give_to(user: Any) -> None:
    """The scope of the person's organization, and the person's id on whatever the request logs from here."""
    scope.belongs_to(user.organization_id)
    structlog.contextvars.bind_contextvars(user_id=str(user.pk))
