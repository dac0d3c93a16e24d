"""`/api/v1/audit/`: the log, as far as the caller's role lets it be seen."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit import actions, searches
from audit.api.exports import FILES, FORMAT, AnyAccept, format_of, require_export
from audit.api.filters import AuditLogFilterSet
from audit.api.serializers import AuditLogSerializer
from audit.exports import services
from audit.exports.answers import file_response
from audit.exports.formats import FORMATS
from audit.models import AuditLog
from forge.api.files import foretold
from forge.api.schema import ProblemSerializer
from forge.api.views import ReadViewSet

TOO_LARGE = OpenApiResponse(ProblemSerializer, description="Too much for one answer: have a file written")


class AuditLogViewSet(ReadViewSet):
    """Who did what: all of it for auditors and admins, a lead's teams, one's own otherwise; none for finance."""

    queryset = AuditLog.objects.all()
    serializer_class = AuditLogSerializer
    filterset_class = AuditLogFilterSet
    ordering_fields = ("timestamp",)
    ordering = "-timestamp"
    audit_resource = "AuditLog"
    audit_action = {"export": actions.AUDIT_EXPORT}
    audit_get = False

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Entries, newest first; 400 `search_too_wide` for what would read the log for more than 10 seconds."""
        with searches.bounded():
            return super().list(request, *args, **kwargs)

    @extend_schema(
        parameters=[FORMAT],
        responses=FILES
        | {
            (422, "application/problem+json"): OpenApiResponse(ProblemSerializer, description="Too much for one answer")
        },
    )
    @action(
        detail=False,
        audit_get=True,
        pagination_class=None,
        extra_parameters=("format",),
        content_negotiation_class=AnyAccept,
    )
    def export(self, request: Request) -> StreamingHttpResponse:
        """What the same filters list, oldest first, as CSV or NDJSON; the last line says how many entries it holds."""
        queryset = self.filter_queryset(self.get_queryset())
        require_export(request.user)
        form = format_of(request)
        if request.method == "HEAD":
            return foretold(FORMATS[form].media_type)
        filters = {name: value for name, value in request.query_params.items() if name != "format"}
        of = filters.get("organization_id")
        name, pieces = services.stream(
            actor=self.actor,
            queryset=queryset,
            form=form,
            filters=filters,
            organization_id=UUID(of) if of and request.user.is_operator else None,
        )
        return file_response(name, form, pieces)
