"""`/api/v1/audit/export/` streams what is asked for; `/api/v1/audit/exports/` has it written as a file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from audit import actions
from audit.api.filters import AuditLogFilterSet
from audit.exports import services
from audit.exports.answers import file_response
from audit.exports.formats import FORMATS
from audit.models import AuditExport, AuditLog, may_export
from forge.api.errors import BadRequest, Denied, field_error, parameter_error
from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet, InvalidParameter, UnknownParameter, filtered
from forge.api.idempotency import idempotent
from forge.api.schema import problem
from forge.api.views import ReadViewSet

FORMAT = OpenApiParameter("format", str, enum=sorted(FORMATS), required=True, description="What to write.")
FILES: dict[Any, Any] = {(200, form.media_type.partition(";")[0]): OpenApiTypes.STR for form in FORMATS.values()}


class AnyAccept(BaseContentNegotiation):
    """The parameter `format`, or the file itself, says what is answered; an Accept header does not."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class NewExportSerializer(serializers.Serializer):
    example = {"format": "ndjson", "filters": {"action_type": "WORKSPACE_PROVISION"}}

    format = serializers.ChoiceField(sorted(FORMATS))
    filters = serializers.DictField(
        child=Text(), default=dict, help_text="Parameters of GET /api/v1/audit/ with their values."
    )

    def validate_filters(self, filters: dict[str, str]) -> dict[str, str]:
        try:
            filtered(AuditLog.objects.none(), AuditLogFilterSet, filters)
        except (InvalidParameter, UnknownParameter) as problem:
            errors = [
                field_error(("filters", error["parameter"]), error["code"], error["message"])
                for error in problem.errors
            ]
            raise BadRequest("Some filters are not valid.", errors=errors, extra=problem.extra) from None
        return filters


class AuditExportSerializer(serializers.ModelSerializer):
    """A file of entries; `count`, `size` and `sha256` are those of the file once it is READY."""

    count = serializers.IntegerField(source="entries", help_text="Entries written so far.")
    operation = serializers.UUIDField(source="operation_id", help_text="The operation that writes it.")
    state = serializers.ChoiceField(AuditExport.State.choices)
    download = serializers.SerializerMethodField()

    class Meta:
        model = AuditExport
        fields = [
            "id", "format", "filters", "state", "count", "size", "sha256", "as_of", "created_at", "finished_at",
            "expires_at", "purged_at", "asked_by_id", "organization_id", "operation", "download",
        ]  # fmt: skip
        read_only_fields = fields

    def get_download(self, export: AuditExport) -> str | None:
        return f"/api/v1/audit/exports/{export.id}/download/" if export.state == AuditExport.State.READY else None


class AuditExportFilterSet(ForgeFilterSet):
    class Meta:
        model = AuditExport
        fields = {"format": ["exact"], "asked_by_id": ["exact"], "created_at": ["gte", "gt", "lte", "lt"]}


class AuditExportViewSet(ReadViewSet):
    """Files of the log that were asked for: those of the organization, for its auditors and admins."""

    queryset = AuditExport.objects.defer("heads")
    serializer_class = AuditExportSerializer
    filterset_class = AuditExportFilterSet
    ordering_fields = ("created_at",)
    ordering = "-id"
    audit_resource = "AuditExport"
    audit_action = {"create": actions.AUDIT_EXPORT_REQUEST, "download": actions.AUDIT_EXPORT_DOWNLOAD}
    audit_get = False

    @extend_schema(request=NewExportSerializer, responses={202: AuditExportSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Have a file written, by the operation in Location, of what the log holds now."""
        wanted = self.validated(NewExportSerializer)
        require_export(request.user)
        filters = wanted["filters"]
        export, operation = services.ask(
            actor=self.actor,
            organization_id=self.actor.organization_id or filters.get("organization_id"),
            form=wanted["format"],
            filters=filters,
            now=timezone.now(),
        )
        return self.accepted(operation, self.body_of(export))

    @extend_schema(responses=FILES | problem(409))
    @action(detail=True, audit_get=True, content_negotiation_class=AnyAccept)
    def download(self, request: Request, pk: str | None = None) -> StreamingHttpResponse:
        """The file; 409 `export_not_ready` while it is written, 404 `export_gone` when its days are over."""
        export, now = self.get_object(), timezone.now()
        if request.method == "HEAD":
            services.require_ready(export, now=now)
            pieces: Iterable[bytes] = ()
        else:
            pieces = services.download(actor=self.actor, export=export, now=now)
        response = file_response(export.file_name, export.format, pieces)
        response["Content-Length"] = str(export.size)
        response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(export.sha256)).decode()}:"
        return response


def require_export(user: Any) -> None:
    """Raise Denied unless `user` may export the log."""
    if not may_export(user):
        raise Denied("Auditors and admins export the audit log.")


def format_of(request: Request) -> str:
    """The format that the address names; raises InvalidParameter."""
    name = request.query_params.get("format", "")
    if name not in FORMATS:
        message = f"One of {', '.join(sorted(FORMATS))}."
        raise InvalidParameter("The format is not known.", errors=[parameter_error("format", message)])
    return name
