"""`/api/v1/costs/advice/`: what is advised, from what that follows, and what became of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from costs import actions
from costs.advice import services
from costs.advice.summary import summary
from costs.api.serializers import Money
from costs.models import Advice, AdviceSaving
from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent
from forge.api.serializers import RowSerializer
from forge.api.views import ReadViewSet


class AdviceSerializer(RowSerializer):
    """One advice; `saving_amount` is of a month of 730 hours, below 0 where a larger machine is advised."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    workspace_name = serializers.CharField(source="workspace.name", read_only=True)
    owner = serializers.EmailField(source="workspace.owner.email", read_only=True)
    team = serializers.CharField(source="workspace.team.slug", read_only=True)
    decided_by = serializers.UUIDField(source="decided_by_id", read_only=True, allow_null=True)
    operation = serializers.UUIDField(source="operation_id", read_only=True, allow_null=True)

    class Meta:
        model = Advice
        fields = [
            "id", "workspace", "workspace_name", "owner", "team", "kind", "action", "changes", "before", "status",
            "reason", "decided_by", "decided_at", "snoozed_until", "saving_amount", "currency", "basis", "price_ids",
            "confidence", "evidence", "possible_at", "best_at", "created_at", "confirmed_at", "operation",
            "effective_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields


class AdviceSavingSerializer(serializers.ModelSerializer):
    """What an accepted advice has saved in one UTC month."""

    class Meta:
        model = AdviceSaving
        fields = ["month", "through", "would_have_cost", "booked_cost", "saved_amount", "basis"]
        read_only_fields = fields


class AdviceDetailSerializer(AdviceSerializer):
    """The advice with what it has saved month by month."""

    savings = serializers.SerializerMethodField()

    class Meta(AdviceSerializer.Meta):
        fields = [*AdviceSerializer.Meta.fields, "savings"]
        read_only_fields = fields

    @extend_schema_field(AdviceSavingSerializer(many=True))
    def get_savings(self, advice: Advice) -> list[dict[str, Any]]:
        return AdviceSavingSerializer(advice.savings.order_by("month"), many=True).data


class ReasonSerializer(serializers.Serializer):
    example = {"reason": "It is used for demonstrations."}

    reason = Text(max_length=500)


class SnoozeSerializer(ReasonSerializer):
    example = {"until": "2027-02-01T00:00:00Z", "reason": "The project ends in February."}

    until = serializers.DateTimeField()


class OpenSavingSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(Advice.Kind.choices)
    currency = serializers.CharField()
    advice = serializers.IntegerField()
    saving_amount = Money(help_text="A month, of the advice that saves.")
    extra_amount = Money(help_text="A month, of the advice to take a larger machine.")


class SavingAtOnceSerializer(serializers.Serializer):
    currency = serializers.CharField()
    saving_amount = Money(help_text="A month; of several pieces of advice for one machine the largest.")


class RealisedSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(Advice.Kind.choices)
    currency = serializers.CharField()
    advice = serializers.IntegerField()
    saved_amount = Money(help_text="So far.")
    through = serializers.DateTimeField(help_text="Up to where the newest of it is reckoned.")


class AdviceSummarySerializer(serializers.Serializer):
    """Open savings, ESTIMATED, and realised ones, of the advice that the caller sees and the filters leave."""

    open = OpenSavingSerializer(many=True)
    at_once = SavingAtOnceSerializer(many=True)
    realised = RealisedSerializer(many=True)


class AdviceFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="workspace__team__slug", label="Slug of the team.")
    user = filters.CharFilter(
        field_name="workspace__owner__email", lookup_expr="iexact", label="Email of the machine's owner."
    )

    class Meta:
        model = Advice
        fields = {
            "workspace": ["exact"],
            "kind": ["exact", "in"],
            "status": ["exact", "in"],
            "action": ["exact"],
            "confidence": ["exact", "in"],
        }


class AdviceViewSet(ReadViewSet):
    """Advice on the machines whose costs the caller sees; a decision needs what the change itself needs."""

    queryset = Advice.objects.select_related("workspace__owner", "workspace__team")
    serializer_class = AdviceSerializer
    filterset_class = AdviceFilterSet
    ordering_fields = ("created_at", "saving_amount")
    ordering = "-created_at"
    audit_resource = "Advice"
    audit_action = {
        "accept": actions.ADVICE_ACCEPT,
        "snooze": actions.ADVICE_SNOOZE,
        "dismiss": actions.ADVICE_DISMISS,
    }

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return AdviceSerializer if self.action == "list" else AdviceDetailSerializer

    @extend_schema(responses={200: AdviceSummarySerializer})
    @action(detail=False, methods=["get"], pagination_class=None)
    def summary(self, request: Request) -> Response:
        """What the open advice would save a month by kind, and what accepted advice has saved so far."""
        advice = self.filter_queryset(self.get_queryset()).order_by()
        return Response(AdviceSummarySerializer(summary(advice)).data)

    @extend_schema(request=None, responses={202: AdviceDetailSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def accept(self, request: Request, **kwargs: Any) -> Response:
        """Have it carried out, by the operation in Location; accepted again it is the same operation."""
        answer = services.accept(actor=self.actor, advice_id=self.get_object().pk, now=timezone.now())
        return self.accepted(answer.operation, self.body_of(answer.advice))

    @extend_schema(request=SnoozeSerializer, responses={200: AdviceDetailSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def snooze(self, request: Request, **kwargs: Any) -> Response:
        """Put it off until a time."""
        advice, given = self.get_object(), self.validated(SnoozeSerializer)
        snoozed = services.snooze(actor=self.actor, advice_id=advice.pk, now=timezone.now(), **given)
        return Response(self.body_of(snoozed))

    @extend_schema(request=ReasonSerializer, responses={200: AdviceDetailSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def dismiss(self, request: Request, **kwargs: Any) -> Response:
        """Reject it; it comes back only as another proposal."""
        advice, given = self.get_object(), self.validated(ReasonSerializer)
        dismissed = services.dismiss(actor=self.actor, advice_id=advice.pk, now=timezone.now(), **given)
        return Response(self.body_of(dismissed))
