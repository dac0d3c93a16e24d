"""Costs in the console: records and daily sums to look at, prices set and closed by the services alone."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from costs import actions, permissions, services
from costs.advice.admin import AdviceAdmin as AdviceAdmin
from costs.bills.admin import BillAdmin as BillAdmin
from costs.exporting import ExportsCosts
from costs.models import CostRecord, CostRevision, DailyCost, Price
from costs.pricing import HOUR, hour_of
from costs.proof.admin import BookFaultAdmin as BookFaultAdmin
from costs.showback.admin import IssuedReportAdmin as IssuedReportAdmin
from costs.tags.admin import TagKeyAdmin as TagKeyAdmin
from forge.accounts.admin import ServiceForm
from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.links import two_lines

WHOLE_ID = "The whole id of a machine, a person, a team, a project or a blueprint."
IDS = tuple(f"{name}_id__exact" for name in ("workspace", "user", "team", "project", "blueprint"))


@admin.register(CostRecord)
class CostRecordAdmin(ExportsCosts, ForgeModelAdmin):
    view_roles = Membership.OVERSIGHT
    list_display = ("period_start", "workspace", "shown_who", "shown_kind", "billed_hours", "shown_total")
    list_filter = ("period_start", "bundle_type", "running_mode", "basis", "team", "project")
    list_select_related = ("workspace", "user", "team")
    search_fields = IDS
    search_help_text = WHOLE_ID
    ordering = ("-period_start", "-id")
    ordering_of_all = ("-organization_id", "-period_start", "-id")
    export_fields = (
        "id", "period_start", "period_end", "workspace_id", "user__email", "team__slug", "project__slug",
        "cost_center", "bundle_type", "region", "running_mode", "running_seconds", "billed_hours", "storage_gb",
        "data_transfer_gb", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost", "currency", "basis",
        "tags", "recorded_at",
    )  # fmt: skip

    @display(description="person, team")
    def shown_who(self, record: CostRecord) -> str:
        return two_lines(record.user, record.team)

    @display(description="machine")
    def shown_kind(self, record: CostRecord) -> str:
        return two_lines(record.get_bundle_type_display(), record.get_running_mode_display())

    @display(description="cost")
    def shown_total(self, record: CostRecord) -> str:
        return two_lines(f"{record.total_cost} {record.currency}", record.get_basis_display())


@admin.register(DailyCost)
class DailyCostAdmin(ExportsCosts, ForgeModelAdmin):
    view_roles = Membership.OVERSIGHT
    list_display = ("day", "shown_who", "shown_project", "shown_kind", "region", "billed_hours", "shown_total")
    list_filter = ("day", "bundle_type", "running_mode", "basis", "team", "project")
    list_select_related = ("organization", "user", "team", "project")
    search_fields = IDS[1:]
    search_help_text = WHOLE_ID.replace("a machine, ", "")
    ordering = ("-day", "-id")
    export_fields = (
        "id", "day", "user__email", "team__slug", "project__slug", "cost_center", "bundle_type", "region",
        "running_mode", "basis", "billed_hours", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost",
        "organization__currency",
    )  # fmt: skip

    @display(description="person, team")
    def shown_who(self, cost: DailyCost) -> str:
        return two_lines(cost.user, cost.team)

    @display(description="project, cost center", ordering="cost_center")
    def shown_project(self, cost: DailyCost) -> str:
        return two_lines(cost.project or "-", cost.cost_center)

    @display(description="machine", ordering="bundle_type")
    def shown_kind(self, cost: DailyCost) -> str:
        return two_lines(cost.get_bundle_type_display(), cost.get_running_mode_display())

    @display(description="cost", ordering="total_cost")
    def shown_total(self, cost: DailyCost) -> str:
        return two_lines(f"{cost.total_cost} {cost.organization.currency}", cost.get_basis_display())


@admin.register(CostRevision)
class CostRevisionAdmin(ExportsCosts, ForgeModelAdmin):
    view_roles = Membership.OVERSIGHT
    list_display = (
        "recorded_at", "workspace", "period_start", "shown_old", "shown_new", "old_basis", "new_basis", "reason",
    )  # fmt: skip
    list_filter = ("recorded_at", "old_basis", "new_basis")
    list_select_related = ("workspace",)
    search_fields = ("workspace_id__exact", "operation_id__exact")
    search_help_text = "The whole id of a machine or an operation."
    ordering = ("-recorded_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "recorded_at", "workspace_id", "period_start", "user__email", "team__slug", "old_compute_cost",
        "new_compute_cost", "old_storage_cost", "new_storage_cost", "old_total_cost", "new_total_cost", "currency",
        "old_basis", "new_basis", "reason", "operation_id",
    )  # fmt: skip

    @display(description="was", ordering="old_total_cost")
    def shown_old(self, revision: CostRevision) -> str:
        return f"{revision.old_total_cost} {revision.currency}"

    @display(description="became", ordering="new_total_cost")
    def shown_new(self, revision: CostRevision) -> str:
        return f"{revision.new_total_cost} {revision.currency}"


class EndForm(forms.Form):
    valid_to = forms.SplitDateTimeField(
        required=False,
        label="Ends at (UTC)",
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="A whole hour; empty = the end of the running one.",
    )


def _close(request: HttpRequest, price: Price, *, valid_to: datetime | None) -> str:
    closed = services.close_price(
        actor=request.actor,  # type: ignore[attr-defined]
        price_id=price.pk,
        valid_to=valid_to,
        now=timezone.now(),
    )
    return f"It ends at {closed.valid_to:%Y-%m-%d %H:%M} UTC."


def _explain_close(request: HttpRequest, price: Price) -> list[str]:
    return [
        "What is booked keeps this price. From its end on, machines of this kind need another one.",
        "Without one nobody can launch them, and what runs is booked at this one as an estimate.",
    ]


class ReadingForm(forms.Form):
    as_of = forms.DateField(label="Read on", initial=lambda: timezone.now().date(), widget=UnfoldAdminSingleDateWidget)
    source = forms.CharField(
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where; empty = where it was read before.",
    )


def _confirm(request: HttpRequest, price: Price, *, as_of: date, source: str) -> str:
    services.confirm_price(
        actor=request.actor,  # type: ignore[attr-defined]
        price_id=price.pk,
        as_of=as_of,
        source=source or None,
        now=timezone.now(),
    )
    return f"It was read on {as_of}."


def _explain_confirm(request: HttpRequest, price: Price) -> list[str]:
    return [
        "The figures stay as they are; you say that you have read them again and they stood.",
        "Hours that were booked as estimates because nobody had read the price for long become metered.",
    ]


class PriceForm(ServiceForm):
    reason = forms.CharField(
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Needed when it begins in the past: what is booked since is re-rated, old and new figures are kept.",
    )
    included_storage_gb = forms.IntegerField(
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Root and user volume together, in GB; empty = what the bundle comes with.",
    )


@admin.register(Price)
class PriceAdmin(ForgeModelAdmin):
    audit_add = actions.PRICE_CREATE
    form = PriceForm
    view_roles = Membership.OVERSIGHT
    add_roles = permissions.PRICING
    list_display = (
        "shown_kind", "shown_system", "region", "shown_amounts", "shown_for", "status", "valid_from", "valid_to",
    )  # fmt: skip
    list_filter = (
        "service_type", "bundle_type", "operating_system", "running_mode", ("organization", admin.EmptyFieldListFilter),
    )  # fmt: skip
    list_select_related = ("organization",)
    search_fields = ("region", "source", "id__exact")
    ordering = ("bundle_type", "operating_system", "running_mode", "-valid_from", "id")
    terms = (
        "service_type", "region", "bundle_type", "operating_system", "running_mode", "monthly_amount", "hourly_amount",
        "storage_gb_month_amount", "included_storage_gb", "transfer_gb_amount", "currency", "source", "as_of",
        "valid_from", "valid_to",
    )  # fmt: skip
    buttons = (
        Button(
            "close",
            "Give it an end",
            actions.PRICE_CLOSE,
            icon="event_busy",
            variant=ActionVariant.DANGER,
            run=_close,
            legal=lambda user, price: (
                permissions.may_close(user, price) and (price.valid_to is None or price.valid_to > timezone.now())
            ),
            form=EndForm,
            explain=_explain_close,
        ),
        Button(
            "confirm",
            "It was read again",
            actions.PRICE_CONFIRM,
            icon="event_available",
            run=_confirm,
            legal=lambda user, price: (
                permissions.may_close(user, price) and (price.valid_to is None or price.valid_to > timezone.now())
            ),
            form=ReadingForm,
            explain=_explain_confirm,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.terms, "reason") if obj is None else ("shown_for", "status", *self.terms, "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("shown_for", "status", "created_at")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        now = timezone.now()
        organization = request.user.organization
        initial = {"as_of": now.date(), "valid_from": hour_of(now) + HOUR}
        if organization is not None:
            initial["currency"] = organization.currency
        return initial | super().get_changeform_initial_data(request)

    def save_by_service(self, request: HttpRequest, obj: Price, form: Any, *, change: bool) -> Price:
        return services.set_price(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=request.user.organization,
            terms=services.PriceTerms(**{name: form.cleaned_data[name] for name in self.terms}),
            now=timezone.now(),
            reason=form.cleaned_data["reason"],
        )

    @display(description="machine", ordering="bundle_type")
    def shown_kind(self, price: Price) -> str:
        return two_lines(price.get_bundle_type_display(), price.get_service_type_display())

    @display(description="system, mode", ordering="operating_system")
    def shown_system(self, price: Price) -> str:
        return two_lines(price.get_operating_system_display(), price.get_running_mode_display())

    @display(description="a month, an hour", ordering="monthly_amount")
    def shown_amounts(self, price: Price) -> str:
        return two_lines(f"{price.monthly_amount} {price.currency}", price.hourly_amount)

    @display(description="for")
    def shown_for(self, price: Price) -> str:
        return str(price.organization) if price.organization else "all organizations"

    @display(
        description="status",
        label={"in force": "success", "to come": "info", "ended": "default", "withdrawn": "warning"},
    )
    def status(self, price: Price) -> str:
        now = timezone.now()
        if price.is_withdrawn:
            return "withdrawn"
        if price.valid_to is not None and price.valid_to <= now:
            return "ended"
        return "to come" if price.valid_from > now else "in force"
