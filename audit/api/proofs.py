"""`/api/v1/audit/proofs/` and `/api/v1/audit/checkpoints/`: for the holder of a receipt, that its entry is sealed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.api.serializers import HexField
from audit.models import AuditCheckpoint, AuditLog, AuditPublication
from audit.receipts import Receipt
from audit.sealing import keys, seals
from audit.verification.receipts import archived_month
from forge.api.errors import Hidden, NotFound
from forge.api.filters import ForgeFilterSet
from forge.api.views import ForgeViewSet, ReadViewSet
from forge.db import scope


class PublicationSerializer(serializers.ModelSerializer):
    class Meta:
        model = AuditPublication
        fields = ["sink", "published_at"]
        read_only_fields = fields


class AuditCheckpointSerializer(serializers.ModelSerializer):
    """A signed tree head; `note` is what was published (C2SP tlog-checkpoint)."""

    root_hash: Any = HexField(read_only=True)
    publications = PublicationSerializer(many=True, read_only=True)

    class Meta:
        model = AuditCheckpoint
        fields = ["id", "incarnation", "origin", "tree_size", "root_hash", "sealed_at", "note", "publications"]
        read_only_fields = fields


class AuditProofSerializer(serializers.Serializer):
    """An RFC 6962 inclusion proof: SHA-256(0x00 || log_hash), folded with `hashes`, gives the checkpoint's root."""

    receipt = serializers.CharField()
    entry_id = serializers.IntegerField(source="receipt.entry_id")
    log_hash: Any = HexField(source="receipt.log_hash")
    leaf_index = serializers.IntegerField(source="leaf.index")
    leaf_hash: Any = HexField(source="leaf.hash")
    tree_size = serializers.IntegerField(source="checkpoint.tree_size")
    root_hash: Any = HexField(source="checkpoint.root_hash")
    hashes = serializers.ListField(child=HexField(), source="path", help_text="Hexadecimal, from the leaf to the root.")
    verifier_keys = serializers.SerializerMethodField(
        help_text="Public keys that may have signed, as name+id+base64; compare them with what you were given before."
    )
    checkpoint = AuditCheckpointSerializer()
    archived_month = serializers.CharField(
        allow_null=True,
        help_text="YYYY-MM where the entry is past its retention: the copy of that month has it.",
    )

    def get_verifier_keys(self, proof: seals.Proof) -> list[str]:
        return [str(key.named(proof.checkpoint.origin)) for key in keys.verifier_keys()]


class AuditProofViewSet(ForgeViewSet):
    """Inclusion proofs of entries that the caller may see."""

    queryset = AuditLog.objects.all()
    serializer_class = AuditProofSerializer
    lookup_field = "receipt"
    audit_resource = "AuditLog"

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "receipt", OpenApiTypes.STR, OpenApiParameter.PATH, description="lane-seq-hex, as in Audit-Receipt."
            )
        ]
    )
    def retrieve(self, request: Request, receipt: str) -> Response:
        """The proof under the newest signed checkpoint; 404 `not_sealed_yet` while there is none over the entry."""
        found, month = self._receipt(receipt)
        return Response(self.get_serializer(replace(seals.prove(found), archived_month=month)).data)

    def _receipt(self, text: str) -> tuple[Receipt, str | None]:
        """The receipt, if the log holds its entry and the caller may see it; or the month that left with its entry.

        Whose that was nobody can tell any more; a proof holds hashes alone, and who has the receipt has the entry's.
        """
        try:
            receipt = Receipt.parse(text)
        except ValueError:
            raise NotFound("A receipt has the form lane-seq-hex.") from None
        rows = AuditLog.objects.filter(id=receipt.entry_id, log_hash=receipt.log_hash)
        if self.get_queryset().filter(id__in=rows.values("id")).exists():
            return receipt, None
        with scope.system():
            is_anothers = rows.exists()
        if is_anothers:
            raise Hidden()
        with scope.system():  # that a month left is told by entries of nobody's organization
            month = archived_month(receipt)
        if month is None:
            raise seals.UnknownReceipt()
        return receipt, f"{month:%Y-%m}"


class AuditCheckpointFilterSet(ForgeFilterSet):
    class Meta:
        model = AuditCheckpoint
        fields = {"tree_size": ["gte", "lte"], "incarnation": ["exact"], "sealed_at": ["gte", "gt", "lte", "lt"]}


class AuditCheckpointViewSet(ReadViewSet):
    """Signed checkpoints, newest first. They hold sizes and hashes only, so everybody who is signed in may see them."""

    queryset = AuditCheckpoint.objects.filter(note__isnull=False).prefetch_related("publications")
    serializer_class = AuditCheckpointSerializer
    filterset_class = AuditCheckpointFilterSet
    ordering_fields = ("id",)
    ordering = "-id"
    audit_resource = "AuditCheckpoint"
