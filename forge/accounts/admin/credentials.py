"""Tokens and sessions in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant

from forge.accounts import actions, token_services
from forge.accounts.models import ApiToken, UserSession
from forge.accounts.searching import FindsPeople
from forge.accounts.signin import sessions
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button


def _revoke(request: HttpRequest, token: ApiToken) -> str:
    token_services.revoke_token(actor=request.actor, token=token, now=timezone.now())  # type: ignore[attr-defined]
    return "The token works no more."


@admin.register(ApiToken)
class ApiTokenAdmin(FindsPeople, ForgeModelAdmin):
    """Without the hash of the secret, which is nobody's business."""

    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("name", "prefix", "user", "interface", "shown_state", "expires_at", "last_used_at", "created_at")
    list_filter = ("interface",)
    list_select_related = ("user",)
    found_by = ("prefix", "name")
    ordering = ("-id",)
    fields = (
        "name",
        "prefix",
        "user",
        "organization",
        "interface",
        "scopes",
        "networks",
        "shown_state",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_at",
    )
    buttons = (
        Button(
            "revoke",
            "Revoke",
            actions.TOKEN_REVOKE,
            icon="key_off",
            variant=ActionVariant.DANGER,
            run=_revoke,
            legal=lambda user, row: row.revoked_at is None and token_services.may_revoke(user, row),
            explain=lambda _, row: [f"Whatever uses {row.name} stops working at once; this cannot be undone."],
        ),
    )

    @display(description="state", label={"live": "success", "expired": "warning", "revoked": "danger"})
    def shown_state(self, token: ApiToken) -> str:
        if token.revoked_at is not None:
            return "revoked"
        return "live" if token.is_live(timezone.now()) else "expired"


def _end_session(request: HttpRequest, session: UserSession) -> str:
    sessions.revoke(actor=request.actor, session=session)  # type: ignore[attr-defined]
    return "The session has ended."


@admin.register(UserSession)
class UserSessionAdmin(FindsPeople, ForgeModelAdmin):
    """Where people are signed in; without the key, which would open the session."""

    view_roles = ("auditor", "admin")
    list_display = ("user", "source_ip", "user_agent", "seen_at", "expires_at", "created_at")
    list_select_related = ("user",)
    ordering = ("-id",)
    fields = ("user", "organization", "source_ip", "user_agent", "seen_at", "expires_at", "created_at")
    buttons = (
        Button(
            "end",
            "End",
            actions.SESSION_REVOKE,
            icon="logout",
            variant=ActionVariant.DANGER,
            run=_end_session,
            legal=sessions.may_end,
            explain=lambda _, row: [f"{row.user} is signed out there at once; what was not saved is lost."],
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(sessions.is_live(timezone.now()))
