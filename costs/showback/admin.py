"""Reports in the console: those issued, a form that makes one and hands out its file, and who gets them by mail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import FileResponse, HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget

from costs import actions
from costs.showback import services, subscriptions
from costs.showback.figures import Asked
from costs.showback.models import IssuedReport, ReportBy, ReportFormat, ReportKind, ReportSubscription
from costs.showback.permissions import own_team
from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.models import Membership, Team
from forge.adminkit.buttons import Button
from forge.db.months import add_months, month_of

OFFERED_MONTHS = 36
ASKING = (Membership.Role.TEAM_LEAD, Membership.Role.FINANCE, Membership.Role.ADMIN)


def _months() -> list[tuple[str, str]]:
    """The months that have begun, the last one that is over first."""
    this = month_of(timezone.now())
    months = [add_months(this, -back) for back in range(OFFERED_MONTHS)]
    running, *over = [(f"{month:%Y-%m}", f"{month:%B %Y}") for month in months]
    return [over[0], (running[0], f"{running[1]} (not over)"), *over[1:]]


class ReportForm(ServiceForm):
    month = forms.TypedChoiceField(
        choices=_months,
        coerce=lambda text: datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date(),
        widget=UnfoldAdminSelectWidget,
        help_text="In UTC. The report of a month that is not over is provisional. Saving hands out the file.",
    )

    class Meta:
        model = IssuedReport
        fields = ("kind", "by", "month", "format", "team")


@admin.register(IssuedReport)
class IssuedReportAdmin(OwnOrganizationAdmin):
    audit_add = actions.COST_EXPORT
    form = ReportForm
    view_roles = Membership.OVERSIGHT
    add_roles = ASKING
    list_display = (
        "month", "kind", "by", "shown_scope", "format", "shown_amount", "shown_status", "shown_difference", "issued_at",
        "is_scheduled",
    )  # fmt: skip
    list_filter = ("month", "kind", "by", "format", "is_scheduled")
    list_select_related = ("team", "previous")
    ordering = ("-id",)
    facts = (
        "kind", "by", "month", "shown_scope", "format", "shown_amount", "total_cost", "groups", "shown_status",
        "shown_difference", "previous", "metered_through", "size", "sha256", "is_scheduled", "issued_by_id",
        "issued_at",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ReportForm.Meta.fields if obj is None else self.facts

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.facts

    def save_by_service(self, request: HttpRequest, obj: IssuedReport, form: Any, *, change: bool) -> IssuedReport:
        given = form.cleaned_data
        asked = Asked(
            request.user.organization,
            ReportKind(given["kind"]),
            ReportBy(given["by"]),
            given["month"],
            _team(request, given["team"]),
        )
        issued, request.report = services.make(  # type: ignore[attr-defined]
            actor=request.actor,  # type: ignore[attr-defined]
            asked=asked,
            form=ReportFormat(given["format"]),
            now=timezone.now(),
        )
        return issued

    def response_add(self, request: HttpRequest, obj: IssuedReport, post_url_continue: Any = None) -> FileResponse:
        """The file itself, which browsers save; what was issued stands in the list."""
        report: services.Written = request.report  # type: ignore[attr-defined]
        return FileResponse(
            report.file,
            as_attachment=True,
            filename=report.name,
            content_type=services.MEDIA_TYPES[report.form],
            headers={"X-Content-Type-Options": "nosniff"},
        )

    @display(description="of")
    def shown_scope(self, report: IssuedReport) -> str:
        return f"team {report.team.name}" if report.team else "the whole organization"

    @display(description="total", ordering="amount")
    def shown_amount(self, report: IssuedReport) -> str:
        return f"{report.amount:,} {report.currency}"

    @display(description="status", label={"final": "success", "provisional": "warning", "corrected": "danger"})
    def shown_status(self, report: IssuedReport) -> str:
        if report.is_provisional:
            return "provisional"
        return "corrected" if report.previous_id else "final"

    @display(description="difference")
    def shown_difference(self, report: IssuedReport) -> str:
        return f"{report.amount - report.previous.amount:+,}" if report.previous else "-"


def _end(request: HttpRequest, subscription: ReportSubscription) -> str:
    subscriptions.unsubscribe(
        actor=request.actor,  # type: ignore[attr-defined]
        subscription=subscription,
        now=timezone.now(),
    )
    return "The report is sent no more."


@admin.register(ReportSubscription)
class ReportSubscriptionAdmin(OwnOrganizationAdmin):
    audit_add = actions.REPORT_SUBSCRIBE
    view_roles = Membership.OVERSIGHT
    add_roles = ASKING
    list_display = ("user", "kind", "by", "shown_scope", "served_month", "created_at")
    list_filter = ("kind", "by")
    list_select_related = ("user", "team")
    ordering = ("-id",)
    buttons = (
        Button(
            "end",
            "Send it no more",
            actions.REPORT_UNSUBSCRIBE,
            icon="unsubscribe",
            variant=ActionVariant.DANGER,
            run=_end,
            legal=subscriptions.may_end,
            explain=lambda *_: ["The row goes, and with it the mail on the 1st; what was sent stays where it is."],
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        given = ("kind", "by", "team")
        return given if obj is None else ("user", *given, "served_month", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    def save_by_service(
        self, request: HttpRequest, obj: ReportSubscription, form: Any, *, change: bool
    ) -> ReportSubscription:
        given = form.cleaned_data
        return subscriptions.subscribe(
            actor=request.actor,  # type: ignore[attr-defined]
            organization=request.user.organization,
            team=_team(request, given["team"]),
            kind=ReportKind(given["kind"]),
            by=ReportBy(given["by"]),
            now=timezone.now(),
        )

    @display(description="of")
    def shown_scope(self, subscription: ReportSubscription) -> str:
        return f"team {subscription.team.name}" if subscription.team else "the whole organization"


def _team(request: HttpRequest, team: Team | None) -> Team | None:
    """The team that was chosen; without one what the person's role says."""
    return team or own_team(request.user)
