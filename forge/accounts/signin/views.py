"""Pages of signing in and of one's own account; each change is one transaction with its audit entry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.views import LogoutView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as CodeReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    EditWebAuthnView,
    LoginWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.providers.saml.views import sls as saml_sls
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.generic import TemplateView, View
from requests import RequestException

from forge.accounts import actions, token_services
from forge.accounts.models import ApiToken, UserSession
from forge.accounts.signin import factors, sessions
from forge.accounts.signin.forms import SignInForm
from forge.accounts.signin.refusing import refusal_page
from forge.accounts.signin.sso import ProviderFailed
from forge.adminkit.times import look_from
from forge.api.errors import BadRequest, Denied, Hidden, NotFound, Problem, Unauthenticated

logger = logging.getLogger(__name__)


def signing_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view of allauth, as a step of signing in: what it refuses is AUTH_FAILED.

    No transaction is held open around it: it asks the identity provider over the network.
    """
    return _marked(view, "audit_sign_in")


def reading(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view of allauth, which sends people elsewhere and changes nothing here."""
    return _marked(view, "audit_as_read")


def _marked(view: Callable[..., HttpResponse], mark: str) -> Callable[..., HttpResponse]:
    @wraps(view)
    def step(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (RequestException, PermissionDenied) as error:
            logger.warning("%s: %s", request.path, error)
            return refusal_page(request, ProviderFailed("Try again; if it stays so, tell an admin."))

    setattr(step, mark, True)
    return step


one_transaction = method_decorator(transaction.atomic, name="post")


@one_transaction
class SignInView(LoginView):
    """Email and password; then the second factor of whoever has one."""

    audit_sign_in = True
    form_class = SignInForm
    template_name = "admin/login.html"
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        return get_adapter().get_login_redirect_url(self.request)

    def form_valid(self, form: Any) -> HttpResponse:
        """Go on to the second factor or the session; the password counts as just asked for on the account's pages."""
        user = form.get_user()
        record_authentication(self.request, user, "password", reauthenticated=True)
        return perform_login(self.request, Login(user=user, redirect_url=self.get_redirect_url() or None))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        site = admin.site.each_context(self.request)
        passkey = settings.MFA_PASSKEY_LOGIN_ENABLED
        own = {"app_path": self.request.get_full_path(), "title": "Sign in", "has_passkeys": passkey}
        own["identity_providers"] = [one for one in settings.FORGE_IDENTITY_PROVIDERS if one.is_listed]
        return super().get_context_data(**site | own | kwargs)


@one_transaction
class SignOutView(LogoutView):
    """One's own session, or a sign-in that waits for its second factor."""


@one_transaction
class PasswordAgainView(ReauthenticateView):
    """The password, once more, before a change of factors."""

    audit_sign_in = True


@one_transaction
class CodeView(AuthenticateView):
    """The second factor, after the first step."""

    audit_sign_in = True


@one_transaction
class CodeAgainView(CodeReauthenticateView):
    """A code, once more, before a change of factors, or for a session that has not shown one."""

    audit_sign_in = True


class KeyRefused(Denied):
    code = "key_refused"
    title = "The key does not fit"


class TellsOfRefusedKeys:
    """Allauth leads back to the sign-in page, which to the audit log would look like a success."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response = super().form_invalid(form)  # type: ignore[misc]
        response.problem = KeyRefused()
        return response


@one_transaction
class KeyAgainView(TellsOfRefusedKeys, ReauthenticateWebAuthnView):
    """A security key, once more."""

    audit_sign_in = True


@one_transaction
class PasskeyView(TellsOfRefusedKeys, LoginWebAuthnView):
    """A passkey alone: it is two factors in one."""

    audit_sign_in = True


def signed_sign_out(request: HttpRequest, organization_slug: str) -> HttpResponse:
    """Allauth's page of SAML's single sign-out, for signed messages alone.

    python3-saml takes unsigned ones, by which any page could sign people out; a signature that is there it checks.
    """
    if not request.GET.get("Signature"):
        return refusal_page(request, ProviderFailed("The sign-out is not signed."))
    return saml_sls(request, organization_slug)


class RecordedChange:
    """A page that changes the factors of whoever is signed in, with the entry of what was and what is."""

    audit_resource = "User"
    audit_action = ""
    described = ""
    proves_factor = False
    """True where the page has just seen the factor at work, so that the session need not show it again."""

    def form_valid(self, form: Any) -> HttpResponse:
        request: Any = self.request  # type: ignore[attr-defined]
        with transaction.atomic():
            before = factors.held(request.user)
            response = super().form_valid(form)  # type: ignore[misc]
            factors.record_change(
                actor=request.actor,
                user=request.user,
                action=self.audit_action,
                before=before,
                described=self.described,
            )
        if self.proves_factor:
            newest = Authenticator.objects.filter(user=request.user, type__in=factors.FACTORS).latest("id")
            record_authentication(request, request.user, "mfa", id=newest.pk, type=newest.type)
            if wanted := request.session.pop(factors.WANTED_PAGE, ""):
                page = format_html('<a class="forge-link" href="{}">Go on to the page that you opened</a>', wanted)
                messages.success(request, page)
        return response


class AddAppView(RecordedChange, ActivateTOTPView):
    audit_action = actions.MFA_ADD
    described = "Added an authenticator app"
    proves_factor = True


class RemoveAppView(RecordedChange, DeactivateTOTPView):
    audit_action = actions.MFA_REMOVE
    described = "Removed the authenticator app"


class AddKeyView(RecordedChange, AddWebAuthnView):
    audit_action = actions.MFA_ADD
    described = "Added a security key"
    proves_factor = True


class RemoveKeyView(RecordedChange, RemoveWebAuthnView):
    audit_action = actions.MFA_REMOVE
    described = "Removed a security key"


class RenameKeyView(RecordedChange, EditWebAuthnView):
    audit_action = actions.MFA_UPDATE
    described = "Renamed a security key"


class NewRecoveryCodesView(RecordedChange, GenerateRecoveryCodesView):
    audit_action = actions.MFA_UPDATE
    described = "Made new recovery codes"


TOKENS_SHOWN = 100
"""The newest; the API has all of them, page by page."""


class OverviewView(LoginRequiredMixin, TemplateView):
    """One's account: who one is, second factors, tokens, and where one is signed in."""

    template_name = "account/overview.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user: Any = self.request.user
        look_from(user)
        tokens = token_services.live_tokens(user, timezone.now())
        own = UserSession.objects.filter(sessions.is_live(timezone.now()), user=user).order_by("-seen_at", "-id")
        return super().get_context_data(
            sessions=own,
            current_key=self.request.session.session_key,
            live_tokens=tokens.count(),
            tokens=tokens.order_by("-id")[:TOKENS_SHOWN],
            factors=factors.held(user),
            is_required=settings.FORGE_MFA_REQUIRED,
            **kwargs,
        )


class PressView(LoginRequiredMixin, View):
    """A button of the account page: `press` does it and returns what is told; a refusal is told there, too.

    Whoever is not signed in is sent to do so, and nothing was done.
    """

    http_method_names = ["post"]

    def handle_no_permission(self) -> HttpResponseRedirect:
        response = super().handle_no_permission()
        response.problem = Unauthenticated()  # type: ignore[attr-defined]
        return response

    def press(self, request: Any) -> str:
        raise NotImplementedError

    def post(self, request: HttpRequest, **_: Any) -> HttpResponse:
        response = HttpResponseRedirect(reverse("account_overview"))
        try:
            messages.success(request, self.press(request))
        except Problem as problem:
            messages.warning(request, problem.detail or problem.title)
            response.problem = problem  # type: ignore[attr-defined]
        return response


def _own(rows: QuerySet, pk: Any, user: Any, *, gone: str) -> Any:
    """The row, if it is the user's; raises NotFound, and Hidden for somebody else's, both saying `gone`."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise NotFound(gone)
    if row.user_id != user.pk:
        raise Hidden(gone)
    return row


class EndSessionView(PressView):
    """Ends one of one's own sessions."""

    audit_resource = "UserSession"
    audit_action = actions.SESSION_REVOKE

    def press(self, request: Any) -> str:
        session = _own(
            UserSession.objects.all(), self.kwargs["pk"], request.user, gone="The session has ended already."
        )
        sessions.revoke(actor=request.actor, session=session)
        return "The session has ended."


class RevokeTokenView(PressView):
    """Ends one of one's own API tokens."""

    audit_resource = "ApiToken"
    audit_action = actions.TOKEN_REVOKE

    def press(self, request: Any) -> str:
        token = _own(ApiToken.objects.all(), self.kwargs["pk"], request.user, gone="There is no such token.")
        token_services.revoke_token(actor=request.actor, token=token, now=timezone.now())
        return f"The token {token.name} works no more."


class NotConfirmed(BadRequest):
    code = "not_confirmed"
    title = "Tick the box first: whatever uses the tokens stops working at once"


class RevokeTokensView(PressView):
    """Ends all of one's own API tokens, for whoever has ticked that this is meant."""

    audit_resource = "User"
    audit_action = actions.TOKEN_REVOKE

    def press(self, request: Any) -> str:
        if not request.POST.get("is_sure"):
            raise NotConfirmed
        count = token_services.revoke_all(actor=request.actor, user=request.user, now=timezone.now())
        return f"Tokens revoked: {count}."
