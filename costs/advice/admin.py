"""Advice in the console: what is advised, what became of it, and the buttons that decide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from costs import actions
from costs.advice import services
from costs.exporting import ExportsCosts
from costs.models import Advice
from costs.pricing import cents
from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.operations.links import with_link
from workspaces.permissions import may


class DismissForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


class SnoozeForm(DismissForm):
    days = forms.IntegerField(min_value=1, max_value=365, initial=30, widget=UnfoldAdminIntegerFieldWidget)


def _accept(request: HttpRequest, advice: Advice) -> str:
    answer = services.accept(actor=request.actor, advice_id=advice.pk, now=timezone.now())  # type: ignore[attr-defined]
    return with_link("It is carried out.", answer.operation)


def _snooze(request: HttpRequest, advice: Advice, *, days: int, reason: str) -> str:
    now = timezone.now()
    until = now + timedelta(days=days)
    services.snooze(actor=request.actor, advice_id=advice.pk, until=until, reason=reason, now=now)  # type: ignore[attr-defined]
    return f"It is put off until {until:%Y-%m-%d}."


def _dismiss(request: HttpRequest, advice: Advice, *, reason: str) -> str:
    services.dismiss(actor=request.actor, advice_id=advice.pk, reason=reason, now=timezone.now())  # type: ignore[attr-defined]
    return "It is dismissed, and comes back only as another proposal."


def _legal(user: Any, advice: Advice) -> bool:
    return advice.is_decidable(timezone.now()) and may(user, services.verb_of(advice), advice.workspace)


def _explain(request: HttpRequest, advice: Advice) -> list[str]:
    sure = advice.get_confidence_display().lower()
    said = [
        f"{advice.workspace}: {advice.proposal}.",
        f"It saves {cents(advice.saving_amount)} {advice.currency} a month; an estimate, confidence {sure}.",
    ]
    if advice.possible_at is not None:
        said.append(f"AWS allows it from {advice.possible_at:%Y-%m-%d %H:%M} UTC on.")
    if advice.best_at is not None:
        said.append(f"It costs least at {advice.best_at:%Y-%m-%d %H:%M} UTC.")
    if advice.action == Advice.Action.TERMINATE:
        said.append("The machine's data are lost.")
    return said


BUTTONS = (
    Button(
        "accept",
        "Accept",
        actions.ADVICE_ACCEPT,
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        run=_accept,
        legal=lambda user, row: row.action != Advice.Action.TERMINATE and _legal(user, row),
        explain=_explain,
    ),
    Button(
        "end",
        "Accept: end the machine",
        actions.ADVICE_ACCEPT,
        icon="delete_forever",
        variant=ActionVariant.DANGER,
        run=_accept,
        legal=lambda user, row: row.action == Advice.Action.TERMINATE and _legal(user, row),
        explain=_explain,
        typed=lambda row: row.workspace.name,
    ),
    Button("snooze", "Snooze", actions.ADVICE_SNOOZE, icon="snooze", run=_snooze, form=SnoozeForm, legal=_legal),
    Button("dismiss", "Dismiss", actions.ADVICE_DISMISS, icon="block", run=_dismiss, form=DismissForm, legal=_legal),
)


@admin.register(Advice)
class AdviceAdmin(ExportsCosts, ForgeModelAdmin):
    team = "workspace__team_id"
    view_roles = Membership.OVERSIGHT
    list_display = (
        "workspace",
        "kind",
        "shown_proposal",
        "shown_saving",
        "shown_confidence",
        "shown_status",
        "created_at",
    )
    list_filter = ("status", "kind", "confidence")
    list_select_related = ("workspace",)
    search_fields = ("id__exact", "workspace__id__exact")
    search_help_text = "The whole id of a machine or of an advice."
    ordering = ("-created_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "workspace_id", "workspace__name", "kind", "action", "status", "confidence", "saving_amount",
        "currency", "reason", "created_at", "decided_by__email", "decided_at", "snoozed_until", "closed_at",
    )  # fmt: skip
    fields = (
        "workspace", "kind", "shown_proposal", "before", "shown_saving", "basis", "shown_confidence", "possible_at",
        "best_at", "shown_evidence", "price_ids", "shown_status", "reason", "decided_by", "decided_at",
        "snoozed_until", "operation_id", "effective_at", "shown_savings", "created_at", "confirmed_at", "closed_at",
    )  # fmt: skip
    readonly_fields = (
        "shown_proposal",
        "shown_saving",
        "shown_confidence",
        "shown_status",
        "shown_evidence",
        "shown_savings",
    )
    buttons = BUTTONS

    @display(description="proposal")
    def shown_proposal(self, advice: Advice) -> str:
        return advice.proposal

    @display(description="saving a month", ordering="saving_amount")
    def shown_saving(self, advice: Advice) -> str:
        return f"{cents(advice.saving_amount)} {advice.currency}"

    @display(description="confidence", label={"High": "success", "Medium": "info", "Low": "warning"})
    def shown_confidence(self, advice: Advice) -> str:
        return str(advice.get_confidence_display())

    @display(description="status", label={"Open": "info", "Accepted": "success", "Snoozed": "warning"})
    def shown_status(self, advice: Advice) -> str:
        return str(advice.get_status_display())

    @display(description="evidence")
    def shown_evidence(self, advice: Advice) -> str:
        lines = ((name.replace("_", " "), value) for name, value in advice.evidence.items() if value is not None)
        return format_html_join("", "<div>{}: {}</div>", lines)

    @display(description="saved so far")
    def shown_savings(self, advice: Advice) -> str:
        lines = (
            (f"{one.month:%Y-%m}", cents(one.saved_amount), advice.currency, one.basis.lower())
            for one in advice.savings.order_by("month")
        )
        return format_html_join("", "<div>{}: {} {} ({})</div>", lines) or "-"
