"""What machines hold, and raises for a time, in the console."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from budgets import actions, permissions
from budgets.display import money
from budgets.models import BudgetRaise, Reservation
from budgets.raising import end_raise
from costs.exporting import ExportsCosts
from forge.accounts.models import Membership
from forge.accounts.names import address_of
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button


@admin.register(Reservation)
class ReservationAdmin(ExportsCosts, ForgeModelAdmin):
    team = "workspace__team_id"
    view_roles = Membership.OVERSIGHT
    list_display = (
        "workspace", "budget", "amount", "remaining", "created_at", "expires_at", "kept_until", "released_at",
    )  # fmt: skip
    list_filter = (("released_at", admin.EmptyFieldListFilter),)
    link_lookups = ("budget__id__exact",)
    list_select_related = ("workspace", "budget")
    search_fields = ("workspace_id__exact", "budget_id__exact", "operation_id__exact", "correlation_id__exact")
    search_help_text = "The whole id of a machine, a budget, an operation or a correlation."
    ordering = ("-id",)
    export_fields = (
        "id", "workspace_id", "workspace__name", "budget_id", "operation_id", "amount", "remaining", "created_at",
        "expires_at", "kept_until", "released_at",
    )  # fmt: skip


def _end(request: HttpRequest, one: BudgetRaise) -> str:
    end_raise(actor=request.actor, raise_id=one.pk, now=timezone.now())  # type: ignore[attr-defined]
    return "It does not count any more."


def _explain_end(request: HttpRequest, one: BudgetRaise) -> list[str]:
    return ["What machines hold stays; launches find what is left without it."]


@admin.register(BudgetRaise)
class BudgetRaiseAdmin(ForgeModelAdmin):
    view_roles = Membership.OVERSIGHT
    list_display = ("budget", "shown_amount", "ends_at", "shown_approver", "reason", "ended_at")
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "ends_at")
    link_lookups = ("budget__id__exact",)
    list_select_related = ("organization", "budget", "approved_by", "ended_by")
    search_fields = ("budget_id__exact", "id__exact")
    search_help_text = "The whole id of a budget or a raise."
    ordering = ("-created_at", "-id")
    fields = (
        "budget", "shown_amount", "ends_at", "reason", "shown_approver", "ended_at", "shown_ender", "created_at",
    )  # fmt: skip
    readonly_fields = ("shown_amount", "shown_approver", "shown_ender", "created_at")
    buttons = (
        Button(
            "end",
            "End it now",
            actions.BUDGET_RAISE_END,
            icon="trending_down",
            run=_end,
            legal=lambda user, one: (
                one.ended_at is None and one.ends_at > timezone.now() and permissions.may_raise(user, one.budget)
            ),
            explain=_explain_end,
        ),
    )

    @display(description="amount", ordering="amount")
    def shown_amount(self, one: BudgetRaise) -> str:
        return money(one, one.amount)

    @display(description="approved by", ordering="approved_by")
    def shown_approver(self, one: BudgetRaise) -> str | None:
        return address_of(one, "approved_by")

    @display(description="ended by")
    def shown_ender(self, one: BudgetRaise) -> str | None:
        return address_of(one, "ended_by")
