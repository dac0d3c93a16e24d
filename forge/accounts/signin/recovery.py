"""Pages on which people ask for a link to choose a password, and choose one; the answer never tells who exists."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import FormView, TemplateView

from forge.accounts import actions, links
from forge.accounts.models import User
from forge.accounts.passwords import PasswordRefused
from forge.accounts.signin import recovering
from forge.accounts.signin.forms import ChooseForm, ForgottenForm
from forge.accounts.signin.refusing import refusal_page
from forge.api.errors import TooMany

ANSWERED_AFTER = 0.25
"""Seconds that a request for a link takes at least: a mail that has to be written does not tell who exists."""


class ForgottenView(FormView):
    """Sends a link, if there is somebody to send it to."""

    audit_resource = "User"
    audit_action = actions.PASSWORD_RESET_REQUEST
    form_class = ForgottenForm
    template_name = "account/password_forgotten.html"
    success_url = reverse_lazy("account_reset_password_done")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            recovering.require_rate(request, step="reset")
        except TooMany as problem:
            return _too_many(request, problem)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: ForgottenForm) -> HttpResponse:
        actor, begun = self.request.actor, monotonic()  # type: ignore[attr-defined]
        recovering.ask(actor=actor, email=form.cleaned_data["email"], now=timezone.now())
        sleep(max(0.0, begun + ANSWERED_AFTER - monotonic()))
        return super().form_valid(form)


class SentView(TemplateView):
    """The one answer to every address."""

    template_name = "account/password_forgotten.html"
    extra_context = {"is_sent": True}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(minutes=settings.FORGE_PASSWORD_LINK_MINUTES, **kwargs)


class LinkNotValidView(TemplateView):
    """The refusal of a link.

    At an address of its own: at that of links a browser would take the next one, in the same tab, for a place on this
    page, and not ask for the form.
    """

    template_name = "account/refused.html"
    extra_context = {"problem": links.LinkNotValid()}


@method_decorator(never_cache, name="dispatch")
class ChooseView(FormView):
    """Takes the password that the holder of the link chooses; the link comes with it, in the body."""

    audit_resource = "User"
    audit_action = actions.PASSWORD_RESET
    form_class = ChooseForm
    template_name = "account/password_choose.html"

    holder: User | None = None

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.token = links.token_in(request.POST.get("link", ""))
        try:
            self.holder = links.holder(self.token, now=timezone.now())
            return super().post(request, *args, **kwargs)
        except links.LinkNotValid as problem:
            return _not_valid(request, problem)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.holder}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(holder=self.holder, **kwargs)

    def form_valid(self, form: ChooseForm) -> HttpResponse:
        try:
            recovering.choose(
                actor=self.request.actor,  # type: ignore[attr-defined]
                token=self.token,
                password=form.cleaned_data["new_password1"],
                now=timezone.now(),
            )
        except PasswordRefused as refusal:
            form.add_error("new_password1", refusal.detail)
            return self.form_invalid(form)
        messages.success(self.request, "The password is set. Sign in with it.")
        return super().form_valid(form)

    def get_success_url(self) -> str:
        return reverse("account_login")


def _not_valid(request: HttpRequest, problem: links.LinkNotValid) -> HttpResponse:
    """Whoever has a link that works tries passwords as often as it takes: only others are counted, who may guess."""
    try:
        recovering.require_rate(request, step="choose")
    except TooMany as too_many:
        return _too_many(request, too_many)
    response = HttpResponseRedirect(reverse("account_link_not_valid"))
    response.problem = problem  # type: ignore[attr-defined]
    return response


def _too_many(request: HttpRequest, problem: TooMany) -> HttpResponse:
    response = refusal_page(request, problem)
    response["Retry-After"] = str(problem.retry_after)
    return response
