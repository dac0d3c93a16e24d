"""People in the console, and what is done to their accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from forge.accounts import actions, services, token_services
from forge.accounts.admin.base import is_admin_over
from forge.accounts.models import ApiToken, User
from forge.accounts.scopes import SCOPES
from forge.accounts.searching import FindsPeople
from forge.accounts.signin import factors, guarding
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button, ShownOnce


class TokenForm(forms.Form):
    """What a new token is for, and for how long."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    interface = forms.ChoiceField(choices=ApiToken.Interface.choices, widget=UnfoldAdminSelectWidget)
    days = forms.IntegerField(min_value=1, max_value=3650, initial=90, widget=UnfoldAdminIntegerFieldWidget)
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None = all that the person may do.",
    )
    networks = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Networks in CIDR from which it may be used, separated by commas; empty = from everywhere.",
    )

    def clean_networks(self) -> list[str]:
        return [one.strip() for one in self.cleaned_data["networks"].split(",") if one.strip()]


def _switch(is_active: bool) -> Any:
    def run(request: HttpRequest, user: User) -> str:
        services.set_active(actor=request.actor, user=user, is_active=is_active)  # type: ignore[attr-defined]
        return f"{user} is switched {'on' if is_active else 'off'}."

    return run


def _issue_token(
    request: HttpRequest,
    user: User,
    *,
    name: str,
    interface: str,
    days: int,
    scopes: Sequence[str],
    networks: Sequence[str],
) -> ShownOnce:
    now = timezone.now()
    _, text = token_services.issue_token(
        actor=request.actor,  # type: ignore[attr-defined]
        user=user,
        name=name,
        interface=interface,
        scopes=scopes,
        networks=networks,
        expires_at=now + timedelta(days=days),
        now=now,
    )
    return ShownOnce(f"The new token of {user}; it is shown this once.", text)


def _unlock(request: HttpRequest, user: User) -> str:
    guarding.unlock(actor=request.actor, user=user, now=timezone.now())  # type: ignore[attr-defined]
    return f"{user} can sign in again."


def _invite_again(request: HttpRequest, user: User) -> str:
    services.invite_again(actor=request.actor, user=user, now=timezone.now())  # type: ignore[attr-defined]
    return f"{user} gets another invitation."


def _reset_factors(request: HttpRequest, user: User) -> str:
    factors.reset(actor=request.actor, user=user)  # type: ignore[attr-defined]
    return f"{user} has no second factor any more."


@admin.register(User)
class UserAdmin(FindsPeople, ForgeModelAdmin):
    person = "pk"
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("full_name", "email", "directory_username", "location", "is_active", "credentials_expire_at")
    list_filter = ("kind", "is_active", "organization")
    ordering = ("search_name", "id")
    export_ordering = ("-id",)
    export_fields = (
        "id", "full_name", "email", "directory_username", "kind", "organization__slug", "location", "time_zone",
        "external_id", "is_active", "credentials_expire_at", "last_login", "created_at",
    )  # fmt: skip
    fields = (
        "full_name",
        "email",
        "kind",
        "organization",
        "shown_roles",
        "directory_username",
        "external_id",
        "location",
        "time_zone",
        "credentials_expire_at",
        "is_active",
        "last_login",
        "created_at",
    )
    buttons = (
        Button(
            "switch-off",
            "Switch off",
            actions.MEMBER_UPDATE,
            icon="person_off",
            variant=ActionVariant.DANGER,
            run=_switch(False),
            legal=lambda user, row: row.is_active and is_admin_over(user, row.organization_id),
            explain=lambda _, row: [
                f"{row} can no longer sign in, and no token of {row} works. Machines run on until somebody ends them."
            ],
            typed=lambda row: row.email,
        ),
        Button(
            "switch-on",
            "Switch on",
            actions.MEMBER_UPDATE,
            icon="person",
            run=_switch(True),
            legal=lambda user, row: not row.is_active and is_admin_over(user, row.organization_id),
        ),
        Button(
            "issue-token",
            "Issue token",
            actions.TOKEN_CREATE,
            icon="key",
            run=_issue_token,
            form=TokenForm,
            legal=lambda user, row: row.is_active and is_admin_over(user, row.organization_id),
            explain=lambda _, row: [f"Whoever holds the token acts as {row}. It is shown once."],
        ),
        Button(
            "invite-again",
            "Invite again",
            actions.MEMBER_INVITE,
            icon="forward_to_inbox",
            run=_invite_again,
            legal=lambda user, row: row.is_active and services.is_awaited(row) and services.may_invite(user, row),
            explain=lambda _, row: [f"{row.email} gets another mail with a link; links that were sent before end."],
        ),
        Button(
            "unlock",
            "Unlock",
            actions.ACCOUNT_UNLOCK,
            icon="lock_open",
            run=_unlock,
            legal=lambda user, row: (
                is_admin_over(user, row.organization_id) and guarding.is_locked(row, timezone.now())
            ),
            explain=lambda _, row: [f"{row} can sign in again at once, and so can whoever guesses."],
        ),
        Button(
            "reset-factors",
            "Reset second factors",
            actions.MFA_RESET,
            icon="phonelink_erase",
            variant=ActionVariant.DANGER,
            run=_reset_factors,
            legal=lambda user, row: (
                user.pk != row.pk and is_admin_over(user, row.organization_id) and bool(factors.held(row))
            ),
            explain=lambda _, row: [
                f"{row} is signed out everywhere and signs in by the password alone until a new factor is set up.",
                "Make sure that it is really this person who asks.",
            ],
            typed=lambda row: row.email,
        ),
    )

    @display(description="roles")
    def shown_roles(self, user: User) -> str:
        held = user.memberships.select_related("team", "organization").order_by("id")
        return "; ".join(f"{row.get_role_display()} of {row.team or row.organization}" for row in held) or "None."
