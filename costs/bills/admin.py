"""Bills in the console: a file is given by a form; drift, machines and gaps are looked at."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from costs import actions, permissions
from costs.bills import drift, files, services
from costs.bills.models import Bill, BilledMachine, BillGap
from costs.exporting import ExportsCosts
from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.links import link
from forge.db.late import late

reading = late("costs.bills.reading")

_TABLE = "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>"


class BillForm(ServiceForm):
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text="CUR or FOCUS of one closed month: CSV, gzipped CSV or Parquet. Larger ones go to import_bill.",
    )

    class Meta:
        model = Bill
        fields: tuple[str, ...] = ()


@admin.register(Bill)
class BillAdmin(OwnOrganizationAdmin):
    audit_add = actions.BILL_UPLOAD
    form = BillForm
    view_roles = Membership.OVERSIGHT
    add_roles = permissions.PRICING
    list_display = ("name", "shown_month", "format", "shown_state", "lines", "machine_amount", "currency", "created_at")
    list_filter = ("state", "month")
    ordering = ("-id",)
    facts = (
        "name", "shown_state", "error", "format", "month", "accounts", "currency", "lines", "machine_lines",
        "settled_lines", "other_lines", "elsewhere_lines", "machine_amount", "other_amount", "tax_amount", "created_at",
        "booked_at", "replaced_at", "shown_drift", "shown_not_billed", "shown_gaps",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("file",) if obj is None else self.facts

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.facts

    def save_by_service(self, request: HttpRequest, obj: Bill, form: Any, *, change: bool) -> Bill:
        given = form.cleaned_data["file"]
        with files.received(given.chunks()) as file:
            reading.BillFile(file.path)
            bill, _ = services.receive(
                actor=request.actor,  # type: ignore[attr-defined]
                organization=request.user.organization,
                name=given.name,
                file=file,
                now=timezone.now(),
            )
        return bill

    @display(description="month", ordering="month")
    def shown_month(self, bill: Bill) -> str:
        return f"{bill.month:%Y-%m}" if bill.month else "-"

    @display(
        description="state", label={"Booked": "success", "Failed": "danger", "Replaced": "default", "Under way": "info"}
    )
    def shown_state(self, bill: Bill) -> str:
        if bill.replaced_at is not None:
            return "Replaced"
        done = (Bill.State.BOOKED, Bill.State.FAILED)
        return str(Bill.State(bill.state).label) if bill.state in done else "Under way"

    @display(description="drift by bundle")
    def shown_drift(self, bill: Bill) -> str:
        names = ("bundle_type", "machines", "metered_cost", "billed_cost", "drift", "drift_percent")
        return _table(
            [name.replace("_", " ") for name in names], [[row[n] for n in names] for row in drift.drift(bill)]
        )

    @display(description="machines")
    def shown_not_billed(self, bill: Bill) -> str:
        absent = drift.not_billed(bill)
        address = reverse("admin:costs_billedmachine_changelist")
        text = f"{absent['machines']} not on the bill, metered {absent['metered_cost']}"
        return link(f"{address}?bill__id__exact={bill.pk}", text)

    @display(description="lines not booked")
    def shown_gaps(self, bill: Bill) -> str:
        address = f"{reverse('admin:costs_billgap_changelist')}?bill__id__exact={bill.pk}"
        rows = [[link(address, gap["reason"]), gap["lines"], gap["amount"]] for gap in drift.gaps(bill)]
        return _table(["reason", "lines", "amount"], rows)


@admin.register(BilledMachine)
class BilledMachineAdmin(ExportsCosts, ForgeModelAdmin):
    team = "workspace__team_id"
    view_roles = Membership.OVERSIGHT
    list_display = ("workspace", "bill", "bundle_type", "hours", "metered_cost", "billed_cost", "shown_drift")
    list_filter = ("bundle_type", ("billed_cost", admin.EmptyFieldListFilter))
    link_lookups = ("bill__id__exact",)
    list_select_related = ("workspace", "bill")
    ordering = ("-id",)
    export_fields = (
        "id", "bill_id", "workspace_id", "workspace__name", "bundle_type", "hours", "metered_cost", "billed_cost",
    )  # fmt: skip

    @display(description="drift")
    def shown_drift(self, machine: BilledMachine) -> str:
        return "not on the bill" if machine.drift is None else str(machine.drift)


@admin.register(BillGap)
class BillGapAdmin(ExportsCosts, ForgeModelAdmin):
    team = ""
    view_roles = Membership.OVERSIGHT
    list_display = ("resource", "reason", "account", "lines", "amount", "first_at", "last_at", "bill")
    list_filter = ("reason",)
    link_lookups = ("bill__id__exact",)
    list_select_related = ("bill",)
    search_fields = ("resource__exact",)
    search_help_text = "The whole id of a machine as the bill has it."
    ordering = ("-id",)
    export_fields = ("id", "bill_id", "reason", "resource", "account", "lines", "amount", "first_at", "last_at")


def _table(names: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return "-"
    head = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    cells = ((format_html_join("", "<td>{}</td>", (("-" if one is None else one,) for one in row)),) for row in rows)
    return format_html(_TABLE, head, format_html_join("", "<tr>{}</tr>", cells))
