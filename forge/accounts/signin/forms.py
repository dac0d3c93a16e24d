"""Forms of signing in, with the guard of the account behind each guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from django import forms
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.forms import AuthenticationForm as ConsoleForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from audit.actors import Actor
from forge.accounts.models import User
from forge.accounts.signin import guarding

REFUSED = (
    "Email and password do not open a live account. Check both. "
    "Several failures in a row lock an account for a while, also for the right password."
)

NOT_FOR_ROLE = "The password is right, but your role does not open the console. Sign in on {}, to your own account."


class SignInForm(AuthenticationForm):
    """Email and password of anybody who has an account."""

    error_messages = {"invalid_login": REFUSED, "inactive": REFUSED}

    def __init__(self, request: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        for name, widget in (("username", UnfoldAdminTextInputWidget), ("password", UnfoldAdminPasswordWidget)):
            attrs = self.fields[name].widget.attrs
            self.fields[name].widget = widget(attrs={**attrs, "class": ""} | _HELP[name])


class ConsoleSignInForm(ConsoleForm):
    """Email and password of somebody whose role opens the console."""

    error_messages = {**ConsoleForm.error_messages, "invalid_login": REFUSED}

    def confirm_login_allowed(self, user: Any) -> None:
        """Whom the console is not for hears so: only who has the right password of a live account comes here."""
        AuthenticationForm.confirm_login_allowed(self, user)
        if not user.is_staff:
            sign_in = format_html('<a href="{}" class="underline">{}</a>', reverse("account_login"), "the other page")
            raise ValidationError(format_html(NOT_FOR_ROLE, sign_in), code="not_for_role")


_HELP = {
    "username": {"autocomplete": "username", "autofocus": ""},
    "password": {"autocomplete": "current-password"},
}


class ForgottenForm(forms.Form):
    """Whose password was forgotten."""

    email = forms.EmailField(
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "username", "autofocus": ""}),
    )


class ChooseForm(SetPasswordForm):
    """The link from mail, and a password, twice; it keeps the rules."""

    link = forms.CharField(
        max_length=2000,
        label="Link from the mail",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Copy the whole of it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class CodeForm(AuthenticateForm):
    """A code of an app, or a recovery code, after the password."""

    def clean_code(self) -> str:
        return judged(self.user, super().clean_code)


class ReauthenticationCodeForm(ReauthenticateForm):
    """A code, asked for again before something that is worth it."""

    def clean_code(self) -> str:
        return judged(self.user, super().clean_code)


def judged(user: User, check: Callable[[], str]) -> str:
    """The code that `check` finds to be right; a wrong one counts like a wrong password, and a right one works once."""
    request = context.request
    now = timezone.now()
    refusal = ValidationError("Incorrect code.", code="incorrect_code")
    with transaction.atomic():
        guard = guarding.take(user)
        if not guard.is_locked(now):
            try:
                code = check()
            except ValidationError as error:
                refusal = error
            else:
                if guarding.use_code(guard, code, now=now):
                    guarding.note_success(guard)
                    return code
            guarding.note_failure(guard, actor=Actor.of_request(request), user=user, now=now)
        request.credential_tried = user.pk.hex
        user_login_failed.send(sender=__name__, credentials={"username": user.email}, request=request)
    raise refusal
