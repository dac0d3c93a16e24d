"""Entries of the log as the API shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import AuditLog


@extend_schema_field(str)
class HexField(serializers.Field):
    """Bytes in hexadecimal."""

    def to_representation(self, value: bytes) -> str:
        return bytes(value).hex()


class AuditLogSerializer(serializers.ModelSerializer):
    """One entry; values that were erased are null or left out, and `erased` names them."""

    context = serializers.JSONField(source="full_context", read_only=True)
    changes = serializers.JSONField(source="full_changes", read_only=True)
    erased = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What was erased: user_email, context.email and so on."
    )
    receipt = serializers.CharField(read_only=True, help_text="lane-seq-hex, as in Audit-Receipt.")
    content_hash: Any = HexField(read_only=True)
    previous_log_hash: Any = HexField(read_only=True)
    log_hash: Any = HexField(read_only=True)

    class Meta:
        model = AuditLog
        fields = [
            "id",
            "timestamp",
            "occurred_at",
            "organization_id",
            "user_id",
            "user_email",
            "actor_kind",
            "credential_id",
            "interface",
            "action_type",
            "action_description",
            "resource_type",
            "resource_id",
            "result",
            "source_ip",
            "user_agent",
            "correlation_id",
            "context",
            "changes",
            "erased",
            "receipt",
            "hash_version",
            "content_hash",
            "previous_log_hash",
            "log_hash",
        ]
        read_only_fields = fields
