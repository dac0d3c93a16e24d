"""`/api/v1/costs/export/`: cost records as a FOCUS 1.2 file."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from costs import actions, permissions
from costs.api.filters import CostRecordFilterSet
from costs.api.parameters import days_of, invalid
from costs.focus import services
from costs.focus.writing import FORMATS
from costs.models import CostRecord
from forge.accounts.services import organization_of
from forge.api.files import foretold
from forge.api.views import ForgeViewSet

MOST_DAYS = 366
_FILES: dict[Any, Any] = {(200, one.media_type.partition(";")[0]): OpenApiTypes.BINARY for one in FORMATS.values()}


class AnyAccept(BaseContentNegotiation):
    """The parameter `format` says what is answered; an Accept header does not."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class CostExportViewSet(ForgeViewSet):
    """Costs as files: of the organization for finance and admins, of their teams for team leads."""

    queryset = CostRecord.objects.all()
    filterset_class = CostRecordFilterSet
    pagination_class = None
    content_negotiation_class = AnyAccept
    extra_parameters = ("format", "start", "end")
    audit_action = actions.COST_EXPORT
    audit_resource = "CostRecord"
    audit_get = True

    def get_queryset(self) -> QuerySet:
        """What the caller may export, which is less than what the caller sees."""
        records = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return records
        return records.filter(permissions.exported_by(self.request.user))

    @extend_schema(
        parameters=[
            OpenApiParameter("format", str, enum=sorted(FORMATS), required=True, description="What to write."),
            OpenApiParameter("start", str, description="First UTC day; without it the first of the month."),
            OpenApiParameter("end", str, description="UTC day after the last; without it tomorrow."),
        ],
        responses=_FILES,
    )
    def list(self, request: Request) -> StreamingHttpResponse:
        """The records of the days that the same filters list, by hour, as a FOCUS 1.2 file of one instant."""
        organization = organization_of(request.user)
        records = self.filter_queryset(self.get_queryset())
        form = request.query_params.get("format", "")
        if form not in FORMATS:
            raise invalid("format", f"One of {', '.join(sorted(FORMATS))}.", known=sorted(FORMATS))
        start, end = days_of(request, now=timezone.now(), most=MOST_DAYS)
        if request.method == "HEAD":
            return foretold(FORMATS[form].media_type)
        filters = {name: value for name, value in request.query_params.items() if name not in self.extra_parameters}
        name, content = services.export(
            actor=self.actor,
            records=services.of_days(records.filter(organization=organization), start, end),
            form=form,
            start=start,
            end=end,
            filters=filters,
        )
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(content.size),
            "X-Content-Type-Options": "nosniff",
        }
        return StreamingHttpResponse(content, content_type=FORMATS[form].media_type, headers=headers)
