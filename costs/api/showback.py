"""`/api/v1/costs/reports/`: showback and chargeback of a month as files; those issued; and who gets them by mail."""

from __future__ import annotations

import base64
from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.http import FileResponse, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from audit.management.arguments import as_month
from costs import actions
from costs.api.exports import AnyAccept
from costs.api.parameters import invalid
from costs.showback import services, subscriptions
from costs.showback.figures import Asked
from costs.showback.models import IssuedReport, ReportBy, ReportFormat, ReportKind, ReportSubscription
from costs.showback.permissions import own_team
from forge.accounts.models import Organization, Team
from forge.accounts.services import organization_of
from forge.api.errors import Refused
from forge.api.fields import Text
from forge.api.files import foretold
from forge.api.filters import ForgeFilterSet, refuse_unknown
from forge.api.idempotency import idempotent
from forge.api.serializers import RowSerializer
from forge.api.views import ForgeViewSet, ReadViewSet

_FILES: dict[Any, Any] = {
    (200, services.MEDIA_TYPES[form].partition(";")[0]): OpenApiResponse(
        OpenApiTypes.OBJECT if form == ReportFormat.JSON else OpenApiTypes.BINARY, f"The report as {form.label}."
    )
    for form in ReportFormat
}


class UnknownTeam(Refused):
    code = "unknown_team"
    title = "There is no such team"


class IssuedReportSerializer(RowSerializer):
    """A report that left the house; `amount` is the total that it shows, `previous` the report that it corrects."""

    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, default=None)
    previous = serializers.UUIDField(source="previous_id", read_only=True, allow_null=True)

    class Meta:
        model = IssuedReport
        fields = [
            "id", "kind", "by", "month", "team", "format", "is_provisional", "metered_through", "currency", "amount",
            "total_cost", "groups", "previous", "size", "sha256", "is_scheduled", "issued_by_id", "issued_at",
        ]  # fmt: skip
        read_only_fields = fields


class ReportSubscriptionSerializer(RowSerializer):
    """A report that goes to a person by mail on the 1st."""

    user = serializers.EmailField(source="user.email", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ReportSubscription
        fields = ["id", "user", "kind", "by", "team", "served_month", "created_at"]
        read_only_fields = fields


class NewReportSubscriptionSerializer(serializers.Serializer):
    """Without `team`: the whole organization's for finance and admins, a lead's only team's."""

    example = {"kind": "SHOWBACK", "by": "team"}

    kind = serializers.ChoiceField(ReportKind.choices, default=ReportKind.SHOWBACK)
    by = serializers.ChoiceField(ReportBy.choices)
    team = Text(default=None, allow_null=True, help_text="Slug: that team's costs alone.")


class IssuedReportFilterSet(ForgeFilterSet):
    class Meta:
        model = IssuedReport
        fields = {
            "month": ["exact", "gte", "lt"],
            "kind": ["exact"],
            "by": ["exact"],
            "format": ["exact"],
            "is_scheduled": ["exact"],
        }


class CostReportViewSet(ForgeViewSet):
    """Reports made at once: of the organization and of each team for finance and admins, of their teams for leads."""

    queryset = IssuedReport.objects.all()
    pagination_class = None
    content_negotiation_class = AnyAccept
    extra_parameters = ("format", "month", "by", "kind", "team")
    audit_action = actions.COST_EXPORT
    audit_resource = "IssuedReport"
    audit_get = True

    @extend_schema(
        parameters=[
            OpenApiParameter("month", str, required=True, description="A UTC month that has begun, such as 2026-03."),
            OpenApiParameter("by", str, enum=ReportBy.values, required=True, description="What its lines stand for."),
            OpenApiParameter("format", str, enum=ReportFormat.values, required=True, description="What to write."),
            OpenApiParameter("kind", str, enum=ReportKind.values, description="Without it SHOWBACK."),
            OpenApiParameter("team", str, description="Slug: that team's costs alone."),
        ],
        responses=_FILES,
    )
    def list(self, request: Request) -> StreamingHttpResponse:
        """The month's costs by team, project, cost center or person; that it was issued is kept and audited."""
        refuse_unknown(request, self.extra_parameters)
        organization = organization_of(request.user)
        form = ReportFormat(_choice(request, "format", ReportFormat.values))
        slug = request.query_params.get("team")
        team = _team(request.user, organization, slug)
        if slug is not None and team is None:
            raise invalid("team", "Your organization has no such team.")
        asked = Asked(
            organization,
            ReportKind(_choice(request, "kind", ReportKind.values, ReportKind.SHOWBACK)),
            ReportBy(_choice(request, "by", ReportBy.values)),
            _month(request),
            team,
        )
        now = timezone.now()
        if request.method == "HEAD":
            services.require(actor=self.actor, asked=asked, now=now)
            return foretold(services.MEDIA_TYPES[form])
        _, report = services.make(actor=self.actor, asked=asked, form=form, now=now)
        digest = base64.b64encode(bytes.fromhex(report.sha256)).decode()
        headers = {"X-Content-Type-Options": "nosniff", "Repr-Digest": f"sha-256=:{digest}:"}
        return FileResponse(
            report.file,
            as_attachment=True,
            filename=report.name,
            content_type=services.MEDIA_TYPES[form],
            headers=headers,
        )


class IssuedReportViewSet(ReadViewSet):
    """Reports that were issued, by whom and when, what they came to, and the digest of the file."""

    queryset = IssuedReport.objects.select_related("team")
    may_lag = True
    serializer_class = IssuedReportSerializer
    filterset_class = IssuedReportFilterSet
    ordering_fields = ("issued_at",)
    ordering = "-id"
    audit_resource = "IssuedReport"


class ReportSubscriptionViewSet(ListModelMixin, ForgeViewSet):
    """Who gets which report by mail on the 1st: one's own; all of the organization's for admins and auditors."""

    queryset = ReportSubscription.objects.select_related("user", "team")
    serializer_class = ReportSubscriptionSerializer
    ordering = "id"
    audit_resource = "ReportSubscription"
    audit_action = {"create": actions.REPORT_SUBSCRIBE, "destroy": actions.REPORT_UNSUBSCRIBE}

    @extend_schema(request=NewReportSubscriptionSerializer, responses={201: ReportSubscriptionSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Have a report sent to oneself on the 1st, from next month on."""
        wanted = self.validated(NewReportSubscriptionSerializer)
        organization = organization_of(request.user)
        team = _team(request.user, organization, wanted["team"])
        if wanted["team"] is not None and team is None:
            raise UnknownTeam(f"Your organization has no team {wanted['team']!r}.")
        made = subscriptions.subscribe(
            actor=self.actor,
            organization=organization,
            team=team,
            kind=ReportKind(wanted["kind"]),
            by=ReportBy(wanted["by"]),
            now=timezone.now(),
        )
        return self.created(made, self.body_of(made), address="/api/v1/costs/report-subscriptions/")

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Have it sent no more."""
        subscriptions.unsubscribe(actor=self.actor, subscription=self.get_object(), now=timezone.now())
        return Response(status=204)


def _team(user: Any, organization: Organization, slug: str | None) -> Team | None:
    """The team that is named, None where there is none of that name; without a name what `own_team` says."""
    if slug is None:
        return own_team(user)
    return Team.objects.filter(organization=organization, slug=slug).first()


def _choice(request: Request, name: str, known: list[str], otherwise: str | None = None) -> str:
    word = request.query_params.get(name, otherwise)
    if word not in known:
        raise invalid(name, f"One of {', '.join(known)}.", known=known)
    return word


def _month(request: Request) -> date:
    try:
        return as_month(request.query_params.get("month", ""))
    except ArgumentTypeError:
        raise invalid("month", "A month such as 2026-03.") from None
