"""`/api/v1/costs/bills/`: bills given and what came of them; and costs as a FOCUS file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from costs import actions, permissions
from costs.api.serializers import Money
from costs.bills import drift, files, services
from costs.models import Bill, BilledMachine, BillGap
from forge.accounts.services import organization_of
from forge.api.errors import BadRequest
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import refuse_key
from forge.api.serializers import RowSerializer
from forge.api.views import ForgeViewSet, ReadViewSet
from forge.db.late import late

reading = late("costs.bills.reading")

PIECE_BYTES = 256 * 1024
MEDIA_TYPES = ("text/csv", "application/gzip", "application/vnd.apache.parquet", "application/octet-stream")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class EmptyBody(BadRequest):
    code = "empty_body"
    title = "There is no file in the request"
    suggested_action = "Send the bill itself as the body, with its Content-Length."


class _FileParser(BaseParser):
    """The body as it comes, to be read by the view piece by piece."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> IO[bytes]:
        return stream


FILE_PARSERS = [type("FileParser", (_FileParser,), {"media_type": media_type}) for media_type in MEDIA_TYPES]


class BillSerializer(RowSerializer):
    """One bill; amounts are those of the file, of the organization's own accounts."""

    class Meta:
        model = Bill
        fields = [
            "id", "name", "size", "sha256", "state", "format", "month", "accounts", "currency", "lines",
            "machine_lines", "settled_lines", "other_lines", "elsewhere_lines", "machine_amount", "other_amount",
            "tax_amount", "error", "asked_by_id", "operation_id", "created_at", "booked_at", "replaced_at",
        ]  # fmt: skip
        read_only_fields = fields


class DriftSerializer(serializers.Serializer):
    """What a bundle type's machines cost in the month, as metered and as billed."""

    bundle_type = serializers.CharField()
    machines = serializers.IntegerField()
    hours = serializers.IntegerField(help_text="Records of the month.")
    metered_cost = Money()
    billed_cost = Money()
    drift = Money(help_text="Billed beyond metered.")
    drift_percent = serializers.DecimalField(max_digits=18, decimal_places=2, allow_null=True)


class NotBilledSerializer(serializers.Serializer):
    machines = serializers.IntegerField()
    metered_cost = Money()


class GapSumSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(BillGap.Reason.choices)
    resources = serializers.IntegerField()
    lines = serializers.IntegerField()
    amount = Money()


class BillReportSerializer(BillSerializer):
    """The bill with its drift per bundle type, and sums of what was matched neither way."""

    drift = serializers.SerializerMethodField()
    not_billed = serializers.SerializerMethodField()
    gaps = serializers.SerializerMethodField()

    class Meta(BillSerializer.Meta):
        fields = [*BillSerializer.Meta.fields, "drift", "not_billed", "gaps"]
        read_only_fields = fields

    def get_drift(self, bill: Bill) -> list[dict[str, Any]]:
        return DriftSerializer(drift.drift(bill), many=True).data

    def get_not_billed(self, bill: Bill) -> dict[str, Any]:
        return NotBilledSerializer(drift.not_billed(bill)).data

    def get_gaps(self, bill: Bill) -> list[dict[str, Any]]:
        return GapSumSerializer(drift.gaps(bill), many=True).data


class BilledMachineSerializer(RowSerializer):
    """A machine in a bill's month; `billed_cost` and `drift` are null where it is not on the bill."""

    bill = serializers.UUIDField(source="bill_id", read_only=True)
    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    drift = Money(read_only=True, allow_null=True)

    class Meta:
        model = BilledMachine
        fields = ["id", "bill", "workspace", "bundle_type", "hours", "metered_cost", "billed_cost", "drift"]
        read_only_fields = fields


class BillGapSerializer(RowSerializer):
    """Lines of a bill that are not booked, by the machine that they name."""

    bill = serializers.UUIDField(source="bill_id", read_only=True)

    class Meta:
        model = BillGap
        fields = ["id", "bill", "reason", "resource", "account", "lines", "amount", "first_at", "last_at"]
        read_only_fields = fields


class BillFilterSet(ForgeFilterSet):
    class Meta:
        model = Bill
        fields = {"state": ["exact"], "month": ["exact", "gte", "lt"], "replaced_at": ["isnull"]}


class BilledMachineFilterSet(ForgeFilterSet):
    class Meta:
        model = BilledMachine
        fields = {
            "bill": ["exact"],
            "workspace": ["exact"],
            "bundle_type": ["exact"],
            "billed_cost": ["isnull"],
        }


class BillGapFilterSet(ForgeFilterSet):
    class Meta:
        model = BillGap
        fields = {"bill": ["exact"], "reason": ["exact"]}


class BillViewSet(ReadViewSet):
    """Bills of the organization, for finance, auditors and admins; finance and admins give them."""

    queryset = Bill.objects.all()
    serializer_class = BillSerializer
    filterset_class = BillFilterSet
    ordering_fields = ("created_at",)
    ordering = "-id"
    audit_action = {"create": actions.BILL_UPLOAD}
    audit_resource = "Bill"

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return BillReportSerializer if self.action == "retrieve" else BillSerializer

    def get_parsers(self) -> list[BaseParser]:
        return [parser() for parser in FILE_PARSERS] if self.request and self.request.method == "POST" else []

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        self.request = request
        self.extra_parameters = ("name",) if request.method == "POST" else ()
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("name", str, description="The file's name, for people.")],
        request=dict.fromkeys(MEDIA_TYPES, OpenApiTypes.BINARY),
        responses={202: BillSerializer, 200: BillSerializer},
    )
    def create(self, request: Request) -> Response:
        """Have the bill in the body booked by the operation in Location; the same file again is the bill that it was.

        A CUR or FOCUS file of one closed month: CSV, gzipped CSV or Parquet.
        """
        refuse_key(request)
        organization = organization_of(request.user)
        permissions.require_bill(self.actor, organization.id)
        name = _UNPRINTABLE.sub("", request.query_params.get("name", "")) or "bill"
        with files.received(_pieces(request.data)) as file:
            reading.BillFile(file.path)
            bill, operation = services.receive(
                actor=self.actor, organization=organization, name=name, file=file, now=timezone.now()
            )
        if operation is None:
            return Response(self.body_of(bill))
        return self.accepted(operation, self.body_of(bill))


class BilledMachineViewSet(ListModelMixin, ForgeViewSet):
    """Machines in the months of bills: metered and billed, and those that are not on the bill."""

    queryset = BilledMachine.objects.all()
    serializer_class = BilledMachineSerializer
    filterset_class = BilledMachineFilterSet
    ordering = "id"
    audit_resource = "BilledMachine"


class BillGapViewSet(ListModelMixin, ForgeViewSet):
    """What bills say of machines and is not booked."""

    queryset = BillGap.objects.all()
    serializer_class = BillGapSerializer
    filterset_class = BillGapFilterSet
    ordering = "id"
    audit_resource = "BillGap"


def _pieces(stream: Any) -> Iterator[bytes]:
    """The body; DRF reads none for an empty one and answers a dictionary. Raises EmptyBody."""
    if not hasattr(stream, "read"):
        raise EmptyBody()
    while piece := stream.read(PIECE_BYTES):
        yield piece
