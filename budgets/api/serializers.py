"""Budgets as the API shows them; money as decimal strings beside the currency."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from budgets.figures import fraction
from budgets.foresight import Outlook, holders_of, outlook, says
from budgets.making_room import suggestions
from budgets.models import LIMIT, Budget, BudgetRaise, BudgetThreshold, Reservation
from costs.models import Basis


class Money(serializers.DecimalField):
    """An amount as it is kept, with 6 places."""

    def __init__(self, **options: object) -> None:
        super().__init__(max_digits=18, decimal_places=6, **options)


class ThresholdSerializer(serializers.ModelSerializer):
    """A mark of the budget, and when the spending reached it in this period."""

    class Meta:
        model = BudgetThreshold
        fields = ["fraction", "fired_at"]
        read_only_fields = fields


class BudgetSerializer(serializers.ModelSerializer):
    """One budget: its terms, what is spent and held, and its marks.

    `limit` is what holds: the amount with what was transferred to it (below 0: from it) and raised for a time.
    `remaining` is what a launch may still reserve of it.
    """

    name = serializers.CharField(
        source="scope_name", read_only=True, help_text="Email of the person, or slug of the scope."
    )
    owner = serializers.EmailField(source="owner.email", read_only=True, allow_null=True, default=None)
    currency = serializers.CharField(source="organization.currency", read_only=True)
    limit = Money(read_only=True)
    remaining = Money(read_only=True)
    overrun = Money(read_only=True)
    utilization = serializers.DecimalField(max_digits=18, decimal_places=4, read_only=True, allow_null=True)
    is_warning_reached = serializers.BooleanField(read_only=True)
    is_limit_reached = serializers.BooleanField(read_only=True)
    warning_threshold = serializers.SerializerMethodField()
    warning_sent_at = serializers.SerializerMethodField()
    hard_limit_reached_at = serializers.SerializerMethodField()
    thresholds = serializers.SerializerMethodField()
    holders = serializers.IntegerField(read_only=True, help_text="Machines that hold money in it.")

    class Meta:
        model = Budget
        fields = [
            "id",
            "scope",
            "scope_id",
            "name",
            "owner",
            "currency",
            "amount",
            "transferred",
            "raised",
            "limit",
            "spent",
            "reserved",
            "remaining",
            "overrun",
            "utilization",
            "is_warning_reached",
            "is_limit_reached",
            "warning_threshold",
            "warning_sent_at",
            "hard_limit_reached_at",
            "thresholds",
            "holders",
            "period_start",
            "period_end",
            "recurs",
            "recurs_hours",
            "on_limit",
            "is_active",
            "adopted_at",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_warning_threshold(self, budget: Budget) -> str | None:
        """The first threshold below the whole limit."""
        return fraction(budget.warning.fraction) if budget.warning else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_warning_sent_at(self, budget: Budget) -> object:
        """When it fired in this period."""
        return _time(budget.warning)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_hard_limit_reached_at(self, budget: Budget) -> object:
        """When the threshold of the whole limit fired in this period."""
        return _time(next((one for one in budget.thresholds.all() if one.fraction == LIMIT), None))

    @extend_schema_field(ThresholdSerializer(many=True))
    def get_thresholds(self, budget: Budget) -> list[dict[str, object]]:
        rows = sorted(budget.thresholds.all(), key=lambda threshold: threshold.fraction)
        return ThresholdSerializer(rows, many=True).data


class CheckedBudgetSerializer(serializers.Serializer):
    """One budget that binds, as it is and as it would be after."""

    id = serializers.UUIDField()
    scope = serializers.ChoiceField(Budget.Scope.choices)
    name = serializers.CharField()
    limit = Money()
    spent = Money()
    reserved = Money()
    needed = Money()
    after = Money()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()


class CheckAnswerSerializer(serializers.Serializer):
    """Whether it fits; `budgets` are all that bind, or those without room."""

    fits = serializers.BooleanField()
    needed = Money()
    currency = serializers.CharField()
    budgets = CheckedBudgetSerializer(many=True)


class ReservationSerializer(serializers.ModelSerializer):
    """What one machine holds in a budget."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    operation = serializers.UUIDField(source="operation_id", read_only=True, allow_null=True)

    class Meta:
        model = Reservation
        fields = ["id", "workspace", "operation", "amount", "remaining", "expires_at", "created_at"]
        read_only_fields = fields


class HeldSerializer(serializers.Serializer):
    """What one machine holds; its name only where the caller may see the machine."""

    workspace = serializers.UUIDField()
    name = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    remaining = Money()


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


class RaiseSerializer(serializers.ModelSerializer):
    """A raise for a time, and who approved it; `ended_at` is empty while it counts."""

    budget = serializers.UUIDField(source="budget_id", read_only=True)
    approved_by = serializers.EmailField(source="approved_by.email", read_only=True, allow_null=True, default=None)
    ended_by = serializers.EmailField(source="ended_by.email", read_only=True, allow_null=True, default=None)
    currency = serializers.CharField(source="organization.currency", read_only=True)

    class Meta:
        model = BudgetRaise
        fields = [
            "id", "budget", "amount", "currency", "ends_at", "reason", "approved_by", "ended_at", "ended_by",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


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


def _time(threshold: BudgetThreshold | None) -> object:
    return (
        serializers.DateTimeField().to_representation(threshold.fired_at) if threshold and threshold.fired_at else None
    )
