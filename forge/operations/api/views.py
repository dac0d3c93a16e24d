"""`/api/v1/operations/`: long work to look at, call off and ask for again."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from forge.operations import services
from forge.operations.api.filters import OperationFilterSet
from forge.operations.api.serializers import OperationSerializer
from forge.operations.models import Operation

_STOPS = OpenApiResponse(OperationSerializer, description="It still runs; its worker stops at the next step.")


class OperationViewSet(ReadViewSet):
    """Operations that the caller asked for or owns, those of teams it leads; admins and auditors see them all."""

    queryset = Operation.objects.all()
    serializer_class = OperationSerializer
    filterset_class = OperationFilterSet
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "Operation"
    audit_action = {"cancel": "OPERATION_CANCEL", "retry": "OPERATION_RETRY"}

    def get_serializer_context(self) -> dict[str, Any]:
        return super().get_serializer_context() | {"now": timezone.now()}

    @extend_schema(request=None, responses={200: OperationSerializer, 202: _STOPS})
    @action(detail=True, methods=["post"])
    @idempotent
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """Call it off: 200 when it is cancelled, 202 when its worker has yet to see the request."""
        operation = services.cancel(operation=self.get_object(), actor=self.actor, now=timezone.now())
        body = self.body_of(operation)
        return Response(body) if operation.is_final else self.accepted(operation, body)

    @extend_schema(request=None, responses={202: OperationSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def retry(self, request: Request, pk: str | None = None) -> Response:
        """Try it again, after it failed or its outcome stayed unknown."""
        operation = services.retry(operation=self.get_object(), actor=self.actor, now=timezone.now())
        return self.accepted(operation, self.body_of(operation))
