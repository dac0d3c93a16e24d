"""Roles in the console: people are added by their first one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from forge.accounts import actions, services
from forge.accounts.admin.base import OwnOrganizationAdmin, ServiceForm, is_admin_over
from forge.accounts.models import Membership, User
from forge.accounts.searching import FindsPeople
from forge.adminkit.buttons import Button


class MemberForm(ServiceForm):
    """A person and a role; somebody whom the organization has already is found by the email."""

    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    full_name = forms.CharField(
        max_length=200, required=False, widget=UnfoldAdminTextInputWidget, help_text="Needed for somebody new."
    )
    directory_username = forms.RegexField(
        r"^[\w.@\\-]{1,63}\Z",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="User name in the AWS directory; empty = no machine possible.",
    )
    credentials_expire_at = forms.SplitDateTimeField(
        required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="Must be set for a contractor."
    )

    def clean(self) -> dict[str, Any]:
        """The words of a new person without a name are refused before the service is asked."""
        cleaned = super().clean()
        known = User.objects.filter(email__iexact=cleaned.get("email", "")).exists()
        if "email" in cleaned and not known and not cleaned.get("full_name"):
            self.add_error("full_name", "Give the name of somebody new.")
        return cleaned


def _take_away(request: HttpRequest, membership: Membership) -> str:
    services.revoke_role(actor=request.actor, membership=membership)  # type: ignore[attr-defined]
    return "The role is taken away."


def _may_take_away(user: Any, membership: Membership) -> bool:
    lead = membership.team_id in user.led_team_ids() and membership.role in Membership.MANAGED_BY_LEADS
    return lead or is_admin_over(user, membership.organization_id)


@admin.register(Membership)
class MembershipAdmin(FindsPeople, OwnOrganizationAdmin):
    audit_add = actions.MEMBER_CREATE
    view_roles = ("auditor",)
    add_roles = ("team_lead", "admin")
    list_display = ("user", "role", "team", "organization", "created_at")
    list_filter = ("role", "team")
    list_select_related = ("user", "team", "organization")
    ordering = ("-id",)
    export_fields = (
        "id", "user__full_name", "user__email", "role", "team__slug", "organization__slug", "created_at",
    )  # fmt: skip
    buttons = (
        Button(
            "take-away",
            "Take away",
            actions.ROLE_CHANGE,
            icon="person_remove",
            variant=ActionVariant.DANGER,
            run=_take_away,
            legal=_may_take_away,
            explain=lambda _, row: [f"{row.user} is then no longer {row.get_role_display()}; machines stay."],
        ),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **kwargs | ({} if obj else {"form": MemberForm}))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("email", "full_name", "role", "team", "directory_username", "credentials_expire_at")
        return ("user", "role", "team", "organization", "created_at")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Membership:
        organization = services.organization_of(request.user)
        return services.add_member(
            actor=request.actor, organization=organization, now=timezone.now(), **form.cleaned_data
        )
