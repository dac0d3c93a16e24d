"""What a browser's session must have shown before it does anything, and that it is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from audit.capture import SAFE_METHODS
from forge.accounts.signin import factors, sessions
from forge.api.middleware import API_PREFIX

OPEN_TO_ALL = {
    "account_login", "account_logout", "account_reauthenticate", "mfa_index", "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn", "mfa_activate_totp", "mfa_add_webauthn", "admin:login", "admin:logout",
    "healthz", "readyz", "metrics",
}  # fmt: skip
"""Pages on which a session that is short of a second factor shows one, sets one up, or ends."""


class SignInMiddleware:
    """Sends a session without the second factor that is required to where it is shown; the API refuses it itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if SESSION_KEY not in request.session or not request.user.is_authenticated:
            return None
        sessions.touch(request, timezone.now())
        is_open = request.resolver_match is not None and request.resolver_match.view_name in OPEN_TO_ALL
        if is_open or request.path.startswith(API_PREFIX) or not factors.is_short_of_factor(request):
            return None
        return _to_factors(request)


def _to_factors(request: HttpRequest) -> HttpResponse:
    page = factors.page_of_proof(request.user)  # type: ignore[arg-type]
    if page is None:
        messages.warning(request, "Set up a second factor to go on: without one nothing else opens.")
        if request.method in SAFE_METHODS:
            request.session[factors.WANTED_PAGE] = request.get_full_path()
        response = HttpResponseRedirect(reverse("mfa_index"))
    else:
        response = HttpResponseRedirect(f"{reverse(page)}?{urlencode({'next': request.get_full_path()})}")
    if request.method not in SAFE_METHODS:  # that somebody looks for the way in is no refusal
        response.problem = factors.SecondFactorRequired()  # type: ignore[attr-defined]
    return response
