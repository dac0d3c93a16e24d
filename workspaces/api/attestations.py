"""`/api/v1/attestations/`: people's word on group policies, which AWS does not show."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from workspaces import actions
from workspaces.api.accounts import account_of
from workspaces.models import Attestation
from workspaces.posture import attesting


class AttestationSerializer(serializers.ModelSerializer):
    """Who said of which policy of which directory that it is as it should be, when, and until when that holds."""

    title = serializers.CharField(source="get_control_display", read_only=True)
    provider_account = serializers.UUIDField(source="provider_account_id", read_only=True)
    attested_by = serializers.EmailField(source="attested_by.email", read_only=True)
    is_valid = serializers.SerializerMethodField(help_text="Holds now.")

    class Meta:
        model = Attestation
        fields = [
            "id", "provider_account", "directory_id", "control", "title", "attested_by", "attested_at", "valid_until",
            "note", "withdrawn_at", "is_valid",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_valid(self, attestation: Attestation) -> bool:
        return attestation.withdrawn_at is None and attestation.valid_until > timezone.now()


class AttestSerializer(serializers.Serializer):
    """The policies that were looked at, how, and until when that is to count; no directory = the account's."""

    example = {
        "provider_account": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f",
        "controls": ["clipboard", "printing"],
        "valid_until": "2027-07-01T00:00:00Z",
        "note": "Group policy FORGE-1, seen in the domain controller.",
    }

    provider_account = serializers.UUIDField()
    directory_id = Text(max_length=32, required=False, default="", allow_blank=True)
    controls = serializers.ListField(
        child=serializers.ChoiceField(Attestation.Control.choices), min_length=1, max_length=5
    )
    valid_until = serializers.DateTimeField()
    note = Text(max_length=500)


class AttestedSerializer(serializers.Serializer):
    """The attestations that were made, one of each policy."""

    results = AttestationSerializer(many=True)


class AttestationFilterSet(ForgeFilterSet):
    open = TrueOrFalseFilter(field_name="withdrawn_at", lookup_expr="isnull", label="Not withdrawn.")

    class Meta:
        model = Attestation
        fields = {"provider_account": ["exact"], "directory_id": ["exact"], "control": ["exact"]}


class AttestationViewSet(ReadViewSet):
    """Attested group policies of the organization's directories, for admins and auditors."""

    queryset = Attestation.objects.select_related("attested_by")
    serializer_class = AttestationSerializer
    filterset_class = AttestationFilterSet
    ordering_fields = ("attested_at",)
    ordering = "-attested_at"
    audit_resource = "Attestation"
    audit_action = {"create": actions.ATTESTATION_CREATE, "withdraw": actions.ATTESTATION_WITHDRAW}

    @extend_schema(request=AttestSerializer, responses={201: AttestedSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Attest policies of a directory; the next look at the posture resolves what was found for want of it."""
        wanted = self.validated(AttestSerializer)
        account = account_of(request.user, wanted.pop("provider_account"))
        made = attesting.attest(actor=self.actor, account=account, now=timezone.now(), **wanted)
        address = f"/api/v1/attestations/?provider_account={account.id}"
        return Response({"results": [self.body_of(one) for one in made]}, status=201, headers={"Location": address})

    @extend_schema(request=None, responses={200: AttestationSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def withdraw(self, request: Request, pk: str | None = None) -> Response:
        """Take an attestation back; it stays as history."""
        held = attesting.withdraw(actor=self.actor, attestation_id=self.get_object().id, now=timezone.now())
        return Response(self.body_of(held))
