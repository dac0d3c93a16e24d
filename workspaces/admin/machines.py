"""Machines and their history in the console: states are read, buttons call services."""

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
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.filters import WordFilter
from forge.adminkit.links import two_lines
from forge.adminkit.times import moment
from workspaces import actions, services
from workspaces.admin import search
from workspaces.admin.bulk import ActsOnWhatItShows
from workspaces.admin.buttons import CHANGES, ask, legal
from workspaces.admin.launching import Launches
from workspaces.admin.moving import MOVE
from workspaces.leavers.admin import HAND_OVER, shown_quarantine
from workspaces.lifecycle import State
from workspaces.models import StateChange, WorkSpace, kept_alive
from workspaces.posture.admin import shown_attestations, shown_findings
from workspaces.rules.admin import EXTEND, LEASE, shown_decisions
from workspaces.rules.models import MOST_KEEP_ALIVE_DAYS
from workspaces.rules.price import in_words, monthly_price
from workspaces.tagging.admin import RETAG, shown_tags

VIEW_ROLES = ("team_lead", "finance", "auditor", "admin")

_STATE_LABELS = {
    State.PENDING: "info",
    State.AVAILABLE: "success",
    State.STOPPING: "info",
    State.STOPPED: "default",
    State.STARTING: "info",
    State.TERMINATING: "warning",
    State.TERMINATED: "default",
    State.FAILED: "danger",
}


class KeepAliveForm(forms.Form):
    """For how long a machine is protected, and why."""

    days = forms.IntegerField(
        min_value=1, max_value=MOST_KEEP_ALIVE_DAYS, initial=30, widget=UnfoldAdminIntegerFieldWidget
    )
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def _connect(request: HttpRequest, workspace: WorkSpace) -> str:
    access = services.connect(actor=request.actor, workspace_id=workspace.pk, now=timezone.now())  # type: ignore[attr-defined]
    if access.expires_at is not None:
        return f"Open {access.url} before {access.expires_at:%H:%M:%S} UTC."
    return (
        f"Registration code {access.registration_code}, user name {access.user_name}; the clients are at "
        f"{access.client_url}."
    )


def _explain_connect(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    lines = [f"The way into the machine of {workspace.owner} is shown to you, and the audit log says so."]
    if workspace.capabilities.starts_by_itself and workspace.state == State.STOPPED:
        lines.append("It begins to run; each started hour is charged.")
    return lines


def _keep_alive(request: HttpRequest, workspace: WorkSpace, *, days: int, reason: str) -> str:
    now = timezone.now()
    kept = services.keep_alive(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        until=now + timedelta(days=days),
        reason=reason,
        now=now,
    )
    return f"Kept alive until {kept.keep_alive_until:%Y-%m-%d %H:%M} UTC."


def _explain_keep_alive(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    price = monthly_price(workspace, now=timezone.now())
    return [f"No rule ends {workspace.name} until then.", in_words(price)]


def _let_go(request: HttpRequest, workspace: WorkSpace) -> str:
    services.keep_alive(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        until=None,
        reason="",
        now=timezone.now(),
    )
    return "No longer kept alive."


def _explain_terminate(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    spent = f"{workspace.cost_to_date:,.2f} {workspace.organization.currency}"
    lost = (
        f"its {workspace.user_volume_gb} GB user volume is lost for good"
        if workspace.capabilities.keeps_state_on_stop
        else "the right to stream, and what is open in a session, are gone"
    )
    return [
        f"{workspace.name} of {workspace.owner} ends; {lost}.",
        f"It has cost {spent} so far; what is reserved for it beyond its cost is given back.",
    ]


class QuarantineFilter(WordFilter):
    """Machines that nobody may use because their owner is switched off."""

    title = "quarantine"
    parameter_name = "quarantine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        return queryset.filter(quarantined_at__isnull=word == "no")


class KeptAliveFilter(WordFilter):
    """By what protects a machine now; a keep-alive that is over does not."""

    title = "kept alive"
    parameter_name = "kept"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        kept = kept_alive(timezone.now())
        return queryset.filter(kept) if word == "yes" else queryset.exclude(kept)


@admin.register(WorkSpace)
class WorkSpaceAdmin(Launches, ActsOnWhatItShows, ForgeModelAdmin):
    view_roles = VIEW_ROLES
    list_display = ("name", "shown_owner", "shown_state", "shown_kind", "shown_cost", "shown_deadline")
    list_filter = (
        "state",
        "service_type",
        "bundle_type",
        "running_mode",
        "operating_system",
        KeptAliveFilter,
        QuarantineFilter,
        "team",
    )
    link_lookups = ("blueprint__id__exact", "owner__id__exact")
    list_select_related = ("owner", "team", "organization")
    search_fields = ("id",)  # shows the box; `get_search_results` says what is looked for
    search_help_text = search.HELP
    ordering = ("-created_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "name", "owner__email", "team__slug", "project__slug", "organization__slug", "service_type",
        "bundle_type", "operating_system", "running_mode", "state", "state_since", "region", "directory_user",
        "provider_id", "last_activity_at", "next_action", "next_action_at", "keep_alive", "keep_alive_until", "tags",
        "created_at", "launched_at", "terminated_at",
    )  # fmt: skip  # costs leave the house by the list of costs, which knows who may take them out
    fieldsets = (
        (
            "Machine",
            {
                "classes": ["tab"],
                "fields": (
                    "owner",
                    "team",
                    "project",
                    "service_type",
                    "application_ids",
                    "bundle_type",
                    "operating_system",
                    "running_mode",
                    "blueprint",
                    "root_volume_gb",
                    "user_volume_gb",
                    "auto_stop_timeout_minutes",
                    "max_lifetime_days",
                    "created_at",
                    "launched_at",
                    "stopped_at",
                    "terminated_at",
                    "last_connected_at",
                ),
            },
        ),
        ("Tags", {"classes": ["tab"], "fields": ("shown_tags",)}),
        ("Security", {"classes": ["tab"], "fields": ("quarantine", "findings", "attestations")}),
        ("Rules", {"classes": ["tab"], "fields": ("decisions",)}),
        (
            "Keep-alive",
            {
                "classes": ["tab"],
                "fields": ("shown_kept_alive", "keep_alive_until", "keep_alive_reason", "price_of_keeping"),
            },
        ),
        (
            "In AWS",
            {
                "classes": ["tab"],
                "fields": (
                    "provider_account",
                    "region",
                    "provider_id",
                    "provider_state",
                    "health",
                    "directory_id",
                    "directory_user",
                    "domain_join_status",
                    "ip_address",
                ),
            },
        ),
    )
    buttons = (
        Button(
            "start",
            "Start",
            actions.WORKSPACE_START,
            icon="play_circle",
            variant=ActionVariant.PRIMARY,
            run=ask(services.start, "It starts."),
            legal=legal("start"),
            explain=lambda _, row: [f"{row.name} starts; each started hour is charged."],
        ),
        Button(
            "stop",
            "Stop",
            actions.WORKSPACE_STOP,
            icon="stop_circle",
            run=ask(services.stop, "It stops."),
            legal=legal("stop"),
            explain=lambda _, row: [f"{row.name} stops; whatever runs on it is cut off."],
        ),
        Button(
            "connect",
            "Connect",
            actions.WORKSPACE_CONNECT,
            icon="login",
            run=_connect,
            legal=legal("connect"),
            explain=_explain_connect,
        ),
        Button(
            "keep-alive",
            "Keep alive",
            actions.WORKSPACE_KEEP_ALIVE,
            group="Keep",
            icon="shield",
            run=_keep_alive,
            form=KeepAliveForm,
            legal=legal("keep-alive"),
            explain=_explain_keep_alive,
        ),
        Button(
            "let-go",
            "End keep-alive",
            actions.WORKSPACE_KEEP_ALIVE,
            group="Keep",
            icon="remove_moderator",
            run=_let_go,
            legal=lambda user, row: row.is_kept_alive(timezone.now()) and legal("keep-alive")(user, row),
            explain=lambda _, row: [f"The rules apply to {row.name} again, its lifetime too."],
        ),
        LEASE,
        EXTEND,
        *CHANGES,
        RETAG,
        MOVE,
        HAND_OVER,
        Button(
            "terminate",
            "Terminate",
            actions.WORKSPACE_TERMINATE,
            icon="delete_forever",
            variant=ActionVariant.DANGER,
            run=ask(services.terminate, "It ends."),
            legal=legal("terminate"),
            explain=_explain_terminate,
            typed=lambda row: row.name,
        ),
    )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return search.found(queryset, search_term, user=request.user), False

    @display(description="state", ordering="state", label=_STATE_LABELS)
    def shown_state(self, workspace: WorkSpace) -> tuple[str, str]:
        return workspace.state, workspace.get_state_display()

    @display(description="cost to date", ordering="cost_to_date")
    def shown_cost(self, workspace: WorkSpace) -> str:
        return f"{workspace.cost_to_date:,.2f} {workspace.organization.currency}"

    @display(description="owner, team", ordering="owner__email")
    def shown_owner(self, workspace: WorkSpace) -> str:
        return two_lines(workspace.owner, workspace.team)

    @display(description="machine", ordering="bundle_type")
    def shown_kind(self, workspace: WorkSpace) -> str:
        mode, system = workspace.get_running_mode_display(), workspace.get_operating_system_display()
        return two_lines(workspace.get_bundle_type_display(), f"{mode}, {system}")

    @display(description="next deadline", ordering="next_action_at")
    def shown_deadline(self, workspace: WorkSpace) -> str:
        if workspace.next_action_at is None:
            return "none"
        ahead = format_html("{} {}", workspace.next_action, moment(workspace.next_action_at))
        if not workspace.is_kept_alive(timezone.now()):
            return ahead
        until = workspace.keep_alive_until
        return two_lines(ahead, format_html("kept alive until {}", moment(until)) if until else "kept alive")

    @display(description="quarantine")
    def quarantine(self, workspace: WorkSpace) -> str:
        return shown_quarantine(workspace)

    @display(description="open findings")
    def findings(self, workspace: WorkSpace) -> str:
        return shown_findings(workspace)

    @display(description="group policies")
    def attestations(self, workspace: WorkSpace) -> str:
        if not workspace.capabilities.joins_domain:
            return "None: what a session may do stands on its stack, and is checked."
        return shown_attestations(workspace.provider_account, workspace.directory_id)

    @display(description="tags")
    def shown_tags(self, workspace: WorkSpace) -> str:
        return shown_tags(workspace)

    @display(description="latest decisions")
    def decisions(self, workspace: WorkSpace) -> str:
        return shown_decisions(workspace)

    @display(description="kept alive", boolean=True)
    def shown_kept_alive(self, workspace: WorkSpace) -> bool:
        return workspace.is_kept_alive(timezone.now())

    @display(description="price")
    def price_of_keeping(self, workspace: WorkSpace) -> str:
        return in_words(monthly_price(workspace, now=timezone.now())) if workspace.is_live else "It has ended."


@admin.register(StateChange)
class StateChangeAdmin(ForgeModelAdmin):
    view_roles = VIEW_ROLES
    list_display = ("occurred_at", "workspace", "from_state", "to_state", "reason", "actor_kind", "recorded_at")
    list_filter = ("to_state",)
    list_select_related = ("workspace",)
    search_fields = ("workspace__id__exact", "correlation_id__exact")
    search_help_text = "The whole id of a machine or a correlation."
    ordering = ("-id",)
    export_fields = (
        "id", "occurred_at", "workspace_id", "workspace__name", "from_state", "to_state", "reason", "actor_kind",
        "actor_id", "recorded_at", "correlation_id",
    )  # fmt: skip
    show_facets = admin.ShowFacets.NEVER
