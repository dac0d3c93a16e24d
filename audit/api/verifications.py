"""`/api/v1/audit/verify/`: what verifications of the log came to, and asking for one."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit import actions
from audit.models import AuditVerification
from audit.verification import operation as verification
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from forge.operations.api.serializers import OperationSerializer

Scope = AuditVerification.Scope

OF_THE_LOG = ("kind", "lane", "lane_seq", "partition", "timestamp", "after", "before")
"""What of a finding everybody sees who sees verifications; the rest may name rows of any organization."""


class FirstFindingSerializer(serializers.Serializer):
    """The earliest finding: what and where. Operators of the installation see its words too."""

    kind = serializers.CharField()
    lane = serializers.IntegerField(allow_null=True)
    lane_seq = serializers.IntegerField(allow_null=True)
    partition = serializers.CharField(allow_null=True)
    timestamp = serializers.DateTimeField(allow_null=True)
    after = serializers.DateTimeField(allow_null=True)
    before = serializers.DateTimeField(allow_null=True)
    detail = serializers.CharField(required=False)


class AuditVerificationSerializer(serializers.ModelSerializer):
    """One verification; `checkpoint` is up to where it looked, `after_checkpoint` where it began (null: the start)."""

    first = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField(help_text="Why nothing was decided; for operators of the installation.")

    class Meta:
        model = AuditVerification
        fields = [
            "id", "started_at", "finished_at", "scope", "subject", "outcome", "rows", "after_checkpoint", "checkpoint",
            "tree_size", "findings", "first", "reason",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema(responses=FirstFindingSerializer)
    def get_first(self, row: AuditVerification) -> dict[str, Any] | None:
        if row.first is None:
            return None
        names = (*OF_THE_LOG, "detail") if self._tells_all else OF_THE_LOG
        return {name: row.first.get(name) for name in names}

    def get_reason(self, row: AuditVerification) -> str | None:
        return row.reason if self._tells_all else None

    @property
    def _tells_all(self) -> bool:
        return self.context["request"].user.is_operator


class VerificationRequestSerializer(serializers.Serializer):
    """What is to be looked at: all of the log, or what came since the last checkpoint that was found intact."""

    example = {"scope": "SINCE"}

    scope = serializers.ChoiceField(choices=verification.ASKED, default=Scope.FULL)


class AuditVerificationFilterSet(ForgeFilterSet):
    class Meta:
        model = AuditVerification
        fields = {
            "scope": ["exact", "in"],
            "outcome": ["exact", "in"],
            "started_at": ["gte", "gt", "lte", "lt"],
        }


class AuditVerificationViewSet(ReadViewSet):
    """Verifications of the log, newest first; for auditors, admins and operators."""

    queryset = AuditVerification.objects.all()
    serializer_class = AuditVerificationSerializer
    filterset_class = AuditVerificationFilterSet
    ordering_fields = ("id",)
    ordering = "-id"
    audit_resource = "AuditVerification"
    audit_action = {"create": actions.AUDIT_VERIFY_REQUEST}

    @extend_schema(request=VerificationRequestSerializer, responses={202: OperationSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Have the log verified: 202 with the operation; its result names the verification."""
        wanted = self.validated(VerificationRequestSerializer)
        operation = verification.ask(actor=self.actor, scope=wanted["scope"], now=timezone.now())
        return self.accepted(operation, OperationSerializer(operation, context={"now": timezone.now()}).data)
