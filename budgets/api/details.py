"""One budget as the API shows it alone: with what lies ahead, what holds its money, and its raises."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from budgets.api.serializers import BudgetSerializer, CheckedBudgetSerializer, Money
from budgets.foresight import Outlook, holders_of, outlook, says
from budgets.making_room import suggestions
from budgets.models import Budget, BudgetRaise
from costs.models import Basis
from forge.accounts.names import address_of


class HeldSerializer(serializers.Serializer):
    """What one machine holds; its name only where the caller may see the machine.

    `kept_until` is when what is held beyond need goes back: the machine was moved away, or became cheaper. Else null.
    """

    workspace = serializers.UUIDField()
    name = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    remaining = Money()
    kept_until = serializers.DateTimeField(allow_null=True)


class ForecastSerializer(serializers.Serializer):
    """What will be spent when the period ends: spent, fees to come, and running at the pace of the last days."""

    total = Money()
    fees = Money()
    running = Money()
    pace_per_day = Money()
    basis = serializers.CharField()


class RunwaySerializer(serializers.Serializer):
    """When launches are refused at this pace."""

    blocked_at = serializers.DateTimeField()
    says = serializers.CharField()


class RoomSerializer(serializers.Serializer):
    """A machine that would make room, what the budget gets back when it ends, and what a stop saves."""

    workspace = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.EmailField()
    state = serializers.CharField()
    frees = Money()
    saves_per_hour = Money()
    actions = serializers.ListField(child=serializers.CharField())


class CheckAnswerSerializer(serializers.Serializer):
    """Whether it fits; `budgets` are all that bind, or those without room.

    `make_room` names machines that would make room for a launch in the first without.
    """

    fits = serializers.BooleanField()
    needed = Money()
    currency = serializers.CharField()
    budgets = CheckedBudgetSerializer(many=True)
    make_room = RoomSerializer(many=True)


class RaiseSerializer(serializers.ModelSerializer):
    """A raise for a time, and who approved it; `ended_at` is empty while it counts."""

    budget = serializers.UUIDField(source="budget_id", read_only=True)
    approved_by = serializers.SerializerMethodField()
    ended_by = serializers.SerializerMethodField()
    currency = serializers.CharField(source="organization.currency", read_only=True)

    class Meta:
        model = BudgetRaise
        fields = [
            "id", "budget", "amount", "currency", "ends_at", "reason", "approved_by", "ended_at", "ended_by",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.EmailField(allow_null=True))
    def get_approved_by(self, one: BudgetRaise) -> str | None:
        return address_of(one, "approved_by")

    @extend_schema_field(serializers.EmailField(allow_null=True))
    def get_ended_by(self, one: BudgetRaise) -> str | None:
        return address_of(one, "ended_by")


class BudgetDetailSerializer(BudgetSerializer):
    """One budget with what lies ahead and what holds its money.

    `forecast` and `runway` are null where it is not in force, `runway` also where it is never full. `held_by` are the
    ten machines that hold most; `/reservations/` has all. `make_room` are machines that rest or that nobody uses.
    """

    forecast = serializers.SerializerMethodField()
    runway = serializers.SerializerMethodField()
    held_by = serializers.SerializerMethodField()
    make_room = serializers.SerializerMethodField()
    raises = serializers.SerializerMethodField()

    class Meta(BudgetSerializer.Meta):
        fields = [*BudgetSerializer.Meta.fields, "forecast", "runway", "held_by", "make_room", "raises"]
        read_only_fields = fields

    @extend_schema_field(ForecastSerializer(allow_null=True))
    def get_forecast(self, budget: Budget) -> dict[str, object] | None:
        ahead = self._outlook(budget)
        return ForecastSerializer(_forecast(ahead)).data if ahead else None

    @extend_schema_field(RunwaySerializer(allow_null=True))
    def get_runway(self, budget: Budget) -> dict[str, object] | None:
        ahead = self._outlook(budget)
        if ahead is None or ahead.full_at is None:
            return None
        return RunwaySerializer({"blocked_at": ahead.full_at, "says": says(ahead.full_at, self._now)}).data

    @extend_schema_field(HeldSerializer(many=True))
    def get_held_by(self, budget: Budget) -> list[dict[str, object]]:
        return HeldSerializer(holders_of(budget, user=self.context["request"].user), many=True).data

    @extend_schema_field(RoomSerializer(many=True))
    def get_make_room(self, budget: Budget) -> list[dict[str, object]]:
        return suggestions(budget_id=budget.id, user=self.context["request"].user, now=self._now)

    @extend_schema_field(RaiseSerializer(many=True))
    def get_raises(self, budget: Budget) -> list[dict[str, object]]:
        rows = budget.raises.open().select_related("approved_by", "ended_by", "organization").order_by("ends_at", "id")
        return RaiseSerializer(rows, many=True).data

    @property
    def _now(self) -> datetime:
        return self.context.setdefault("now", timezone.now())

    def _outlook(self, budget: Budget) -> Outlook | None:
        """Reckoned once for the answer."""
        known = self.context.setdefault("outlooks", {})
        if budget.pk not in known:
            known[budget.pk] = outlook(budget, now=self._now)
        return known[budget.pk]


def _forecast(ahead: Outlook) -> dict[str, object]:
    return {
        "total": ahead.total,
        "fees": ahead.fees,
        "running": ahead.running,
        "pace_per_day": 24 * ahead.pace,
        "basis": Basis.ESTIMATED,
    }
