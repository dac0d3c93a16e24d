"""Faults of the books in the console: to look at; they go when the books agree."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from costs.exporting import ExportsCosts
from costs.proof.models import BookFault
from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin


@admin.register(BookFault)
class BookFaultAdmin(ExportsCosts, ForgeModelAdmin):
    team = ""  # a fault is of the whole organization's books
    view_roles = Membership.OVERSIGHT
    list_display = ("kind", "day", "subject", "expected", "found", "groups", "shown_state", "seen_at", "resolved_at")
    list_filter = ("kind", ("resolved_at", admin.EmptyFieldListFilter))
    search_fields = ("subject__exact",)
    search_help_text = "The key of a tag, or the whole id of a budget."
    ordering = ("-id",)
    export_fields = ("id", "kind", "day", "subject", "expected", "found", "groups", "seen_at", "resolved_at")

    @display(description="state", label={"stands": "danger", "resolved": "success"})
    def shown_state(self, fault: BookFault) -> str:
        return "stands" if fault.resolved_at is None else "resolved"
