"""Machines that nobody here answers for, in the console, and the buttons that take them over."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.links import two_lines
from workspaces import actions
from workspaces.fleet import adopting, looking
from workspaces.fleet.taking import LIFETIME_DAYS, Wish
from workspaces.models import ProviderAccount, UnmanagedMachine


class AdoptForm(forms.Form):
    """Who pays where the owner's team does not say it, and for how long the machines may stay."""

    team = forms.SlugField(
        required=False,
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="Slug of the team that pays for machines whose owner is in no team, or in several.",
    )
    max_lifetime_days = forms.IntegerField(
        min_value=1, max_value=3650, initial=LIFETIME_DAYS, widget=UnfoldAdminIntegerFieldWidget
    )


def _wish(row: Any, team: str, max_lifetime_days: int) -> Wish:
    return Wish(team=adopting.team_of(row.organization_id, team or None), max_lifetime_days=max_lifetime_days)


def _adopt(request: HttpRequest, machine: UnmanagedMachine, *, team: str, max_lifetime_days: int) -> str:
    looking.require_standing(actor=request.actor, machine=machine)  # type: ignore[attr-defined]
    made = adopting.adopt(
        actor=request.actor,  # type: ignore[attr-defined]
        machine_id=machine.pk,
        wish=_wish(machine, team, max_lifetime_days),
        now=timezone.now(),
    )
    return f"It is machine {made.name} of {made.owner} now."


def _adopt_fleet(request: HttpRequest, account: ProviderAccount, *, team: str, max_lifetime_days: int) -> str:
    operation = adopting.ask(
        actor=request.actor,  # type: ignore[attr-defined]
        account=account,
        wish=_wish(account, team, max_lifetime_days),
        now=timezone.now(),
    )
    return f"The fleet is being taken over. Operation {operation.pk}."


def _explain_fleet(request: HttpRequest, account: ProviderAccount) -> list[str]:
    actor = request.actor  # type: ignore[attr-defined]
    found = adopting.preview(actor=actor, account=account, wish=Wish(), now=timezone.now())
    left = [
        f"{count} x {UnmanagedMachine.Verdict(verdict).label}"
        for verdict, count in found["verdicts"].items()
        if count and verdict != UnmanagedMachine.Verdict.ADOPTABLE
    ]
    return [
        f"{found['would_adopt']} machines of {account.name} become machines of their owners here.",
        "They cost the budgets from now on, whether these have room or not.",
        f"Left as they are: {'; '.join(left) or 'none'}.",
        *([_refused(found)] if found["refusals"] else []),
        "Without a keep-alive the rules end each when its days are over.",
    ]


def _refused(found: dict[str, Any]) -> str:
    codes = ", ".join(sorted(set(found["refused"].values())))
    return f"Refused: {found['refusals']} of those that could be taken ({codes})."


def _is_adoptable(user: Any, machine: UnmanagedMachine) -> bool:
    possible = machine.verdict in (UnmanagedMachine.Verdict.ADOPTABLE, UnmanagedMachine.Verdict.TEAM_UNCLEAR)
    stands = machine.gone_at is None and machine.adopted_at is None and machine.provider_account.enabled
    return possible and stands and adopting.may_adopt(user, machine.organization_id)


_VERDICT_LABELS = {
    UnmanagedMachine.Verdict.ADOPTABLE: "success",
    UnmanagedMachine.Verdict.TEAM_UNCLEAR: "info",
    UnmanagedMachine.Verdict.NO_OWNER: "warning",
    UnmanagedMachine.Verdict.OWNER_HAS_MACHINE: "warning",
    UnmanagedMachine.Verdict.NOT_OFFERED: "default",
    UnmanagedMachine.Verdict.NOT_SETTLED: "default",
}


@admin.register(UnmanagedMachine)
class UnmanagedMachineAdmin(ForgeModelAdmin):
    view_roles = ("auditor", "admin")
    list_display = (
        "provider_id", "shown_user", "shown_verdict", "shown_kind", "provider_account", "first_seen_at",
    )  # fmt: skip
    list_filter = ("verdict", "is_orphan", "provider_account")
    list_select_related = ("owner", "provider_account")
    search_fields = ("id__exact", "provider_id", "directory_user")
    ordering = ("-first_seen_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "provider_id", "provider_account__name", "directory_id", "directory_user", "bundle_type",
        "operating_system", "running_mode", "provider_state", "verdict", "is_orphan", "owner__email", "team__slug",
        "tags", "first_seen_at",
    )  # fmt: skip
    show_facets = admin.ShowFacets.NEVER
    buttons = (
        Button(
            "adopt",
            "Adopt",
            actions.WORKSPACE_ADOPT,
            icon="add_home_work",
            variant=ActionVariant.PRIMARY,
            run=_adopt,
            form=AdoptForm,
            legal=_is_adoptable,
            explain=lambda _, row: [
                f"{row.provider_id} becomes a machine of {row.owner} and costs the budgets from now on."
            ],
        ),
    )

    @display(description="directory user, owner", ordering="directory_user")
    def shown_user(self, machine: UnmanagedMachine) -> str:
        return two_lines(machine.directory_user, machine.owner)

    @display(description="machine", ordering="bundle_type")
    def shown_kind(self, machine: UnmanagedMachine) -> str:
        return two_lines(machine.bundle_type, machine.provider_state)

    @display(description="verdict", ordering="verdict", label=_VERDICT_LABELS)
    def shown_verdict(self, machine: UnmanagedMachine) -> tuple[str, str]:
        words = machine.get_verdict_display()
        return machine.verdict, f"{words}; orphan of Forge" if machine.is_orphan else words

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).standing()


ADOPT_FLEET = Button(
    "adopt",
    "Adopt fleet",
    actions.FLEET_ADOPT,
    icon="add_home_work",
    run=_adopt_fleet,
    form=AdoptForm,
    legal=lambda user, row: adopting.may_adopt(user, row.organization_id),
    explain=_explain_fleet,
)
"""On the page of a provider account."""
