"""Latencies and the regions of a team in the console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from forge.accounts.admin import OwnOrganizationAdmin
from forge.accounts.services import organization_of
from forge.adminkit.buttons import Button
from workspaces import actions
from workspaces.models import RegionLatency, RegionPolicy
from workspaces.regions import setting
from workspaces.regions.models import MOST_MILLISECONDS

OVERSIGHT = ("team_lead", "finance", "auditor", "admin")


class LatencyForm(forms.Form):
    """A new figure, and where it is from; an empty one is the estimate."""

    milliseconds = forms.IntegerField(
        min_value=1, max_value=MOST_MILLISECONDS, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    source = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


class RegionsForm(forms.Form):
    """The regions that the team may use; "all" must be said, so that an empty field lifts no bound."""

    regions = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Codes such as eu-central-1, between commas; or the word all.",
    )


def _change_latency(request: HttpRequest, latency: RegionLatency, *, milliseconds: int | None, source: str) -> str:
    setting.change_latency(
        actor=request.actor,  # type: ignore[attr-defined]
        latency_id=latency.pk,
        milliseconds=milliseconds,
        source=source,
        now=timezone.now(),
    )
    return "Changed; the next launches follow it."


def _change_regions(request: HttpRequest, policy: RegionPolicy, *, regions: str) -> str:
    setting.change_region_policy(
        actor=request.actor,  # type: ignore[attr-defined]
        policy_id=policy.pk,
        regions=[] if regions.strip().lower() == "all" else setting.split(regions),
        now=timezone.now(),
    )
    return "Changed; machines that stand elsewhere stay."


@admin.register(RegionLatency)
class RegionLatencyAdmin(OwnOrganizationAdmin):
    audit_add = actions.REGION_LATENCY_CREATE
    view_roles = OVERSIGHT
    add_roles = ("admin",)
    list_display = ("place", "region", "milliseconds", "source", "updated_at")
    list_filter = ("region",)
    search_fields = ("id__exact", "place", "region")
    ordering = ("place", "region", "id")
    fields = ("place", "region", "milliseconds", "source")
    buttons = (
        Button(
            "latency",
            "Change latency",
            actions.REGION_LATENCY_UPDATE,
            icon="speed",
            run=_change_latency,
            form=LatencyForm,
            initial=lambda row: {"milliseconds": row.milliseconds, "source": row.source},
            legal=lambda user, row: setting.may_set(user, row.organization_id),
            explain=lambda *_: ["Without a figure the latency is estimated from the distance."],
        ),
    )

    def save_by_service(self, request: HttpRequest, obj: Any, form: Any, *, change: bool) -> RegionLatency:
        return setting.create_latency(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=organization_of(request.user),
            now=timezone.now(),
            **{name: form.cleaned_data[name] for name in self.fields},
        )


@admin.register(RegionPolicy)
class RegionPolicyAdmin(OwnOrganizationAdmin):
    audit_add = actions.REGION_POLICY_CREATE
    view_roles = OVERSIGHT
    add_roles = ("admin",)
    list_display = ("team", "regions", "updated_at")
    list_select_related = ("team",)
    search_fields = ("id__exact", "team__slug")
    ordering = ("-created_at", "-id")
    fields = ("team", "regions")
    buttons = (
        Button(
            "regions",
            "Change regions",
            actions.REGION_POLICY_UPDATE,
            icon="public",
            run=_change_regions,
            form=RegionsForm,
            initial=lambda row: {"regions": ", ".join(row.regions) or "all"},
            legal=lambda user, row: setting.may_set(user, row.organization_id),
            explain=lambda *_: ["The team launches in these regions only; machines that stand elsewhere stay."],
        ),
    )

    def save_by_service(self, request: HttpRequest, obj: Any, form: Any, *, change: bool) -> RegionPolicy:
        return setting.create_region_policy(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=organization_of(request.user),
            team=form.cleaned_data["team"],
            regions=form.cleaned_data["regions"] or [],
            now=timezone.now(),
        )
