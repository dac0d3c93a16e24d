"""`/api/v1/audit/holds/`: what must stay in the log, seen by admins and auditors, placed and released by admins."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit import actions, holds
from audit.models import LegalHold
from forge.api.fields import Id, Text
from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet


class LegalHoldSerializer(serializers.ModelSerializer):
    """A hold; `released_at` is null while it is active."""

    is_active = serializers.BooleanField(read_only=True)

    class Meta:
        model = LegalHold
        fields = [
            "id",
            "organization_id",
            "user_id",
            "resource_type",
            "resource_id",
            "period_start",
            "period_end",
            "reason",
            "is_active",
            "placed_by",
            "placed_at",
            "released_by",
            "released_at",
            "release_reason",
        ]
        read_only_fields = fields


class PlacedHoldSerializer(LegalHoldSerializer):
    """A hold that was just placed."""

    covers_entries = serializers.SerializerMethodField(
        help_text="Whether the log has an entry that it covers; null where that cannot be said within seconds. False"
        " is often a mistyped id."
    )

    class Meta(LegalHoldSerializer.Meta):
        fields = [*LegalHoldSerializer.Meta.fields, "covers_entries"]
        read_only_fields = fields

    def get_covers_entries(self, hold: LegalHold) -> bool | None:
        return holds.covers_entries(hold)


class NewHoldSerializer(serializers.Serializer):
    """What the hold covers: entries that meet all criteria given, at least one of person, resource and period."""

    example = {"user_id": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f", "reason": "Case 7 of the legal department."}

    organization_id = Id(default=None, allow_null=True, help_text="For operators; null is the whole installation.")
    user_id = Id(default=None, allow_null=True, help_text="Entries by this person or about them.")
    resource_type = Text(default="", allow_blank=True, max_length=128, help_text="As in the log: WorkSpace.")
    resource_id = Text(default="", allow_blank=True, max_length=128)
    period_start = serializers.DateTimeField(default=None, allow_null=True)
    period_end = serializers.DateTimeField(default=None, allow_null=True, help_text="Not included.")
    reason = Text(max_length=500)


class ReleaseSerializer(serializers.Serializer):
    example = {"reason": "Case 7 is closed."}

    reason = Text(max_length=500)


class LegalHoldFilterSet(ForgeFilterSet):
    is_active = TrueOrFalseFilter(field_name="released_at", lookup_expr="isnull", label="Not released yet.")

    class Meta:
        model = LegalHold
        fields = {"user_id": ["exact"], "resource_type": ["exact"], "resource_id": ["exact"]}


class LegalHoldViewSet(ReadViewSet):
    """Legal holds of the caller's organization; operators of the installation see and place all."""

    queryset = LegalHold.objects.all()
    serializer_class = LegalHoldSerializer
    filterset_class = LegalHoldFilterSet
    ordering_fields = ("placed_at",)
    ordering = "-placed_at"
    audit_resource = "LegalHold"
    audit_action = {"create": actions.LEGAL_HOLD_PLACE, "release": actions.LEGAL_HOLD_RELEASE}

    @extend_schema(request=NewHoldSerializer, responses={201: PlacedHoldSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Place a hold: from now on erasure and retention leave what it covers as it is."""
        wanted = self.validated(NewHoldSerializer)
        hold = holds.place(actor=self.actor, now=timezone.now(), **wanted)
        return self.created(hold, PlacedHoldSerializer(hold).data, address=f"/api/v1/audit/holds/{hold.pk}/")

    @extend_schema(request=ReleaseSerializer, responses={200: LegalHoldSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def release(self, request: Request, pk: str | None = None) -> Response:
        """End the hold; it stays in the list."""
        wanted = self.validated(ReleaseSerializer)
        hold = holds.release(actor=self.actor, hold=self.get_object(), now=timezone.now(), **wanted)
        return Response(self.body_of(hold))
