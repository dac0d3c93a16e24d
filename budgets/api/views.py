"""`/api/v1/budgets/`: what may be spent, what is spent and held of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from budgets import actions, permissions, services
from budgets.api.bodies import ChangeSerializer, CheckSerializer, NewBudgetSerializer, TransferSerializer
from budgets.api.details import BudgetDetailSerializer, CheckAnswerSerializer
from budgets.api.filters import BudgetFilterSet
from budgets.api.serializers import (
    BudgetSerializer,
    ReservationSerializer,
)
from budgets.guards import BudgetExceeded
from budgets.inquiry import would_fit
from budgets.models import Budget
from budgets.terms import UnknownBudget
from budgets.transferring import transfer
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from workspaces.api.serializers import LaunchSerializer, launch_spec
from workspaces.services import launch

MOST_HOLDERS = 1000


class BudgetViewSet(ReadViewSet):
    """Budgets that the caller may see: the own, the teams', of a lead's people; all for organization-wide roles."""

    queryset = (
        Budget.objects.select_related("organization", "owner")
        .prefetch_related("thresholds")
        .with_scope_name()
        .with_holders()
    )
    serializer_class = BudgetSerializer
    filterset_class = BudgetFilterSet
    ordering_fields = ("created_at", "period_start", "period_end", "amount", "spent")
    ordering = "-period_start"
    search_fields = ("scope_name",)
    audit_resource = "Budget"
    audit_action = {
        "create": actions.BUDGET_CREATE,
        "partial_update": actions.BUDGET_UPDATE,
        "transfer": actions.BUDGET_TRANSFER,
    }
    audit_as_read = False
    has_etag = True

    def get_serializer_class(self) -> Any:
        return BudgetSerializer if self.action == "list" else BudgetDetailSerializer

    @extend_schema(request=NewBudgetSerializer, responses={201: BudgetDetailSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Set a budget; one whose period has begun counts at once what the scope has spent and runs."""
        wanted = self.validated(NewBudgetSerializer)
        organization = services.organization_of(self.actor)
        if wanted["scope_id"] is None:
            wanted["scope_id"] = organization.id
        permissions.require_some(self.actor)
        wanted["owner"] = services.owner_by(wanted["owner"], organization_id=organization.id)
        wanted["fractions"] = wanted.pop("thresholds")
        budget = services.create(actor=self.actor, organization=organization, now=timezone.now(), **wanted)
        return self.created(budget, self._body(budget), address=f"/api/v1/budgets/{budget.pk}/")

    @extend_schema(request=ChangeSerializer, responses={200: BudgetDetailSerializer})
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the amount, the owner or other terms, or switch the budget off or on."""
        wanted = self.validated(ChangeSerializer)
        budget = self.get_object()
        permissions.require_some(self.actor)
        if "owner" in wanted:
            wanted["owner"] = services.owner_by(wanted["owner"], organization_id=budget.organization_id)
        if "thresholds" in wanted:
            wanted["fractions"] = wanted.pop("thresholds")
        budget = services.change(
            actor=self.actor, budget_id=budget.id, now=timezone.now(), if_match=self.if_match, **wanted
        )
        return self.shown(budget, self._body(budget))

    @extend_schema(request=TransferSerializer, responses={200: BudgetDetailSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def transfer(self, request: Request, pk: str | None = None) -> Response:
        """Move money that is free to another team's budget, for the period that runs."""
        wanted = self.validated(TransferSerializer)
        giver = self.get_object()
        receiver = self.get_queryset().filter(pk=wanted["to"]).first()
        permissions.require_raise(self.actor, giver)
        if receiver is None:
            raise UnknownBudget(f"You see no budget {wanted['to']}.")
        giver, _ = transfer(
            actor=self.actor,
            giver_id=giver.id,
            receiver_id=receiver.id,
            amount=wanted["amount"],
            reason=wanted["reason"],
            now=timezone.now(),
            if_match=self.if_match,
        )
        return self.shown(giver, self._body(giver))

    @extend_schema(
        request=PolymorphicProxySerializer(
            component_name="LaunchOrAmount",
            serializers=[CheckSerializer, LaunchSerializer],
            resource_type_field_name=None,
        ),
        responses={200: CheckAnswerSerializer},
    )
    @action(detail=False, methods=["post"], audit_as_read=True)
    def check(self, request: Request) -> Response:
        """Would it fit? Takes an amount, or the body of a launch; reserves nothing and changes nothing."""
        if isinstance(request.data, dict) and "amount" in request.data:
            wanted = self.validated(CheckSerializer)
            return Response(would_fit(user=request.user, now=timezone.now(), **wanted) | {"make_room": []})
        spec = launch_spec(self.validated(LaunchSerializer))
        try:
            figures = launch(actor=self.actor, spec=spec, now=timezone.now(), dry_run=True).figures
        except BudgetExceeded as refusal:
            answer = _answer(refusal.extra, fits=False, needed=refusal.extra["needed"])
            return Response(answer | {"make_room": refusal.room()})
        return Response(_answer(figures, fits=True, needed=figures["reservation"]))

    @extend_schema(responses={200: ReservationSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def reservations(self, request: Request, pk: str | None = None) -> Response:
        """What holds the budget's money: the machines that hold most, at most a thousand."""
        held = self.get_object().reservations.live().order_by("-remaining", "id")[:MOST_HOLDERS]
        return Response(ReservationSerializer(held, many=True).data)

    def _body(self, budget: Budget) -> Any:
        return self.body_of(type(self).queryset.get(pk=budget.pk))


def _answer(figures: dict[str, Any], *, fits: bool, needed: str) -> dict[str, Any]:
    told = {"fits": fits, "needed": needed, "currency": figures["currency"], "budgets": figures["budgets"]}
    return told | {"make_room": []}
