"""Budgets as the API shows them; money as decimal strings beside the currency."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from budgets.figures import fraction
from budgets.models import LIMIT, Budget, BudgetThreshold, Reservation


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


class ReservationSerializer(serializers.ModelSerializer):
    """What one machine holds in a budget."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    operation = serializers.UUIDField(source="operation_id", read_only=True, allow_null=True)

    class Meta:
        model = Reservation
        fields = ["id", "workspace", "operation", "amount", "remaining", "expires_at", "kept_until", "created_at"]
        read_only_fields = fields


def _time(threshold: BudgetThreshold | None) -> object:
    return (
        serializers.DateTimeField().to_representation(threshold.fired_at) if threshold and threshold.fired_at else None
    )
