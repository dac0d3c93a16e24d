"""The rules in the console: what lies ahead of a machine and why, leases, longer lifetimes, and policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.services import organization_of
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from workspaces import actions, services
from workspaces.admin.buttons import legal
from workspaces.models import Decision, LifecyclePolicy, WorkSpace
from workspaces.rules import policies
from workspaces.rules.models import MOST_KEEP_ALIVE_DAYS, MOST_LIFETIME_DAYS
from workspaces.rules.reckoning import lifetime_ends

OVERSIGHT = ("team_lead", "finance", "auditor", "admin")


def _number(most: int, *, least: int = 1, initial: int | None = None, required: bool = True) -> forms.IntegerField:
    return forms.IntegerField(
        min_value=least,
        max_value=most,
        initial=initial,
        required=required,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class LeaseForm(forms.Form):
    """For how long a machine works, and at what."""

    hours = _number(8760, initial=8)
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


class ExtendForm(forms.Form):
    """How much longer a machine may live, and why."""

    days = _number(MOST_LIFETIME_DAYS, initial=30)
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


class CeilingsForm(forms.Form):
    """The ceilings of a policy; an empty one is none."""

    idle_minutes = _number(2880, least=15, required=False)
    session_hours = _number(8760, required=False)
    lifetime_days = _number(MOST_LIFETIME_DAYS, required=False)
    lease_hours = _number(8760, required=False)
    keep_alive_days = _number(MOST_KEEP_ALIVE_DAYS, required=False)

    def clean(self) -> dict[str, Any]:
        if all(self.cleaned_data.get(name) is None for name in policies.CEILINGS):
            raise forms.ValidationError("Give at least one ceiling.")
        return self.cleaned_data


class PolicyForm(ServiceForm):
    """A new policy: its scope, and at least one ceiling."""

    def clean(self) -> dict[str, Any]:
        if all(self.cleaned_data.get(name) is None for name in policies.CEILINGS):
            raise forms.ValidationError("Give at least one ceiling.")
        return self.cleaned_data


def _lease(request: HttpRequest, workspace: WorkSpace, *, hours: int, reason: str) -> str:
    now = timezone.now()
    made = services.lease(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        until=now + timedelta(hours=hours),
        reason=reason,
        now=now,
    )
    said = f"It is not stopped for idleness until {made.holds_until:%Y-%m-%d %H:%M} UTC."
    if made.held_in_aws_until < made.holds_until:
        at = f"{made.held_in_aws_until:%Y-%m-%d %H:%M} UTC"
        said += f" AWS itself may stop it from {at} on, unless somebody connects."
    return said


def _extend(request: HttpRequest, workspace: WorkSpace, *, days: int, reason: str) -> str:
    longer = services.extend(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        days=days,
        reason=reason,
        now=timezone.now(),
    )
    return f"Its lifetime ends at {longer.lifetime_end:%Y-%m-%d %H:%M} UTC."


LEASE = Button(
    "lease",
    "Work lease",
    actions.WORKSPACE_LEASE,
    group="Keep",
    icon="work_history",
    run=_lease,
    form=LeaseForm,
    legal=legal("lease"),
    explain=lambda _, row: [f"{row.name} is not stopped for idleness until then; each started hour is charged."],
)
EXTEND = Button(
    "extend",
    "Extend lifetime",
    actions.WORKSPACE_EXTEND,
    group="Keep",
    icon="update",
    run=_extend,
    form=ExtendForm,
    legal=legal("extend"),
    explain=lambda _, row: [
        f"The lifetime of {row.name} ends at {lifetime_ends([row])[row.id]:%Y-%m-%d %H:%M} UTC now."
    ],
)


def shown_decisions(workspace: WorkSpace) -> str:
    """The latest decisions of the rules about a machine."""
    rows = workspace.decisions.order_by("-decided_at", "-id")[:20]
    lines = ((f"{row.decided_at:%Y-%m-%d %H:%M:%S}", row.get_rule_display(), row.get_outcome_display()) for row in rows)
    return format_html_join("", "<div>{} {}: {}</div>", lines) or "None."


@admin.register(Decision)
class DecisionAdmin(ForgeModelAdmin):
    view_roles = OVERSIGHT
    list_display = ("decided_at", "workspace", "rule", "outcome")
    list_filter = ("rule", "outcome")
    list_select_related = ("workspace",)
    search_fields = ("workspace__id__exact", "correlation_id__exact")
    search_help_text = "The whole id of a machine or a correlation."
    ordering = ("-id",)
    export_fields = (
        "id", "decided_at", "workspace_id", "workspace__name", "rule", "outcome", "operation_id", "correlation_id",
    )  # fmt: skip
    show_facets = admin.ShowFacets.NEVER


def _change(request: HttpRequest, policy: LifecyclePolicy, **ceilings: int | None) -> str:
    wanted = {name: value for name, value in ceilings.items() if value != getattr(policy, name)}
    policies.change_policy(actor=request.actor, policy_id=policy.pk, ceilings=wanted, now=timezone.now())  # type: ignore[attr-defined]
    return "Changed; its machines follow with the next run of the rules."


@admin.register(LifecyclePolicy)
class LifecyclePolicyAdmin(OwnOrganizationAdmin):
    audit_add = actions.LIFECYCLE_POLICY_CREATE
    form = PolicyForm
    view_roles = OVERSIGHT
    add_roles = ("admin",)
    list_display = ("source", *policies.CEILINGS, "effective_at", "shown_applies")
    list_filter = ("team",)
    list_select_related = ("team",)
    search_fields = ("id__exact", "blueprint_name")
    ordering = ("-created_at", "-id")
    fields = ("team", "blueprint_name", *policies.CEILINGS)
    buttons = (
        Button(
            "ceilings",
            "Change ceilings",
            actions.LIFECYCLE_POLICY_UPDATE,
            icon="tune",
            run=_change,
            form=CeilingsForm,
            initial=lambda row: {name: getattr(row, name) for name in policies.CEILINGS},
            legal=lambda user, row: policies.may_set(user, row.organization_id),
            explain=lambda *_: [
                "The smallest ceiling wins: blueprint, team, organization, installation.",
                "A shorter lifetime ends no machine before its owner has had the time of a warning.",
            ],
        ),
    )

    @display(description="applies", boolean=True)
    def shown_applies(self, policy: LifecyclePolicy) -> bool:
        return policy.is_spread

    def save_by_service(self, request: HttpRequest, obj: Any, form: Any, *, change: bool) -> LifecyclePolicy:
        wanted = form.cleaned_data
        return policies.create_policy(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=organization_of(request.user),
            team=wanted["team"],
            blueprint_name=wanted["blueprint_name"],
            ceilings={name: wanted[name] for name in policies.CEILINGS},
            now=timezone.now(),
        )
