"""Quarantines in the console: the dates by which something is to be done, and the button that hands a machine over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from workspaces import actions
from workspaces.leavers.holding import hand_over
from workspaces.models import Quarantine, WorkSpace

MOST_DAYS = 365


class HandOverForm(forms.Form):
    """Who saves what is on the machine, within how many days, and why."""

    heir = forms.EmailField(
        label="Email of a lead of the team, or an admin", widget=UnfoldAdminEmailInputWidget, max_length=254
    )
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS, initial=30, widget=UnfoldAdminIntegerFieldWidget)
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def _hand_over(request: HttpRequest, workspace: WorkSpace, *, heir: str, days: int, reason: str) -> str:
    now = timezone.now()
    made = hand_over(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        heir_email=heir,
        until=now + timedelta(days=days),
        reason=reason,
        now=now,
    )
    return f"{made.heir} may use it until {made.kept_until:%Y-%m-%d %H:%M} UTC."


def _may_hand_over(user: Any, workspace: WorkSpace) -> bool:
    is_admin = user.organization_id == workspace.organization_id and user.has_role(Membership.Role.ADMIN)
    return is_admin and workspace.capabilities.can_be_handed_over and workspace.quarantines.open().exists()


def _explain(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    user = workspace.directory_user
    return [
        f"{workspace.name} stays bound to directory user {user}: AWS changes neither this nor whose its volumes are.",
        "The heir may start it and sees how to connect.",
        f"To sign in the heir needs a new password of {user}, which the directory's administrators set.",
        "Until then no rule ends it, and it goes on costing. Afterwards nobody can start it.",
    ]


HAND_OVER = Button(
    "hand-over",
    "Hand over",
    actions.WORKSPACE_HAND_OVER,
    icon="move_down",
    run=_hand_over,
    form=HandOverForm,
    legal=_may_hand_over,
    explain=_explain,
)


def shown_quarantine(workspace: WorkSpace) -> str:
    """In words: whether the machine is in quarantine, for whom it is kept and until when."""
    held = workspace.quarantines.open().select_related("heir").first()
    if held is None:
        return "No."
    who = f"kept for {held.heir}" if held.heir else "kept for the admins"
    is_used = held.is_handed_over(timezone.now())
    may_be = workspace.capabilities.can_be_handed_over
    return format_html(
        "{}: {} is switched off since {} UTC or before; {} until {} UTC.{}",
        "Handed over" if is_used else "In quarantine, nobody uses it",
        workspace.owner,
        f"{held.began_at:%Y-%m-%d %H:%M}",
        who,
        f"{held.kept_until:%Y-%m-%d %H:%M}",
        "" if may_be else " It cannot be handed over, because it keeps nothing between sessions.",
    )


@admin.register(Quarantine)
class QuarantineAdmin(ForgeModelAdmin):
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("workspace", "owner", "began_at", "kept_until", "heir", "handed_over_at", "ended_at", "outcome")
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "outcome")
    list_select_related = ("workspace__owner", "heir")
    search_fields = ("workspace_id__exact",)
    search_help_text = "The whole id of a machine."
    ordering = ("kept_until", "id")
    export_ordering = ("-id",)
    export_fields = (
        "id", "workspace_id", "workspace__name", "workspace__owner__email", "began_at", "kept_until", "heir__email",
        "handed_over_at", "ended_at", "outcome",
    )  # fmt: skip
    fields = (
        "workspace", "owner", "began_at", "kept_until", "heir", "handed_over_at", "hand_over_reason", "reminded_at",
        "ended_at", "outcome",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("workspace__owner", "heir")

    @display(description="owner")
    def owner(self, quarantine: Quarantine) -> str:
        return str(quarantine.workspace.owner)
