"""`/api/v1/budget-raises/`: raises of budgets for a time, with who approved them and until when."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from budgets import actions, permissions
from budgets.api.bodies import NewRaiseSerializer
from budgets.api.details import RaiseSerializer
from budgets.api.filters import RaiseFilterSet
from budgets.models import Budget, BudgetRaise
from budgets.raising import end_raise, raise_limit
from budgets.terms import UnknownBudget
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet


class BudgetRaiseViewSet(ReadViewSet):
    """Raises of the budgets that the caller may see; made and ended by finance and admins."""

    queryset = BudgetRaise.objects.select_related("organization", "approved_by", "ended_by")
    serializer_class = RaiseSerializer
    filterset_class = RaiseFilterSet
    ordering_fields = ("created_at", "ends_at")
    ordering = "-created_at"
    audit_resource = "BudgetRaise"
    audit_action = {"create": actions.BUDGET_RAISE, "end": actions.BUDGET_RAISE_END}

    @extend_schema(request=NewRaiseSerializer, responses={201: RaiseSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Let a budget hold more until an hour within its period; the caller is who approved it."""
        wanted = self.validated(NewRaiseSerializer)
        permissions.require_some_raise(self.actor)
        budget = Budget.objects.visible_to(request.user).filter(pk=wanted["budget"]).first()
        if budget is None:
            raise UnknownBudget(f"You see no budget {wanted['budget']}.")
        made = raise_limit(
            actor=self.actor,
            budget_id=budget.id,
            amount=wanted["amount"],
            ends_at=wanted["ends_at"],
            reason=wanted["reason"],
            now=timezone.now(),
        )
        return self.created(made, self.body_of(made), address=f"/api/v1/budget-raises/{made.id}/")

    @extend_schema(request=None, responses={200: RaiseSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def end(self, request: Request, pk: str | None = None) -> Response:
        """End a raise before its time."""
        ended = end_raise(actor=self.actor, raise_id=self.get_object().id, now=timezone.now())
        return Response(self.body_of(self.get_queryset().get(pk=ended.pk)))
