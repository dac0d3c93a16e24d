"""Budgets as the API shows and takes them; money as decimal strings beside the currency."""

from __future__ import annotations

from decimal import Decimal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from budgets.models import WARNING, Budget, BudgetThreshold, Reservation
from forge.api.fields import Text


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
    """One budget: its terms, what is spent and held, and its marks. `remaining` is what a launch may still reserve."""

    name = serializers.CharField(
        source="scope_name", read_only=True, help_text="Email of the person, or slug of the scope."
    )
    owner = serializers.EmailField(source="owner.email", read_only=True, allow_null=True, default=None)
    currency = serializers.CharField(source="organization.currency", read_only=True)
    remaining = Money(read_only=True)
    overrun = Money(read_only=True)
    utilization = serializers.DecimalField(max_digits=18, decimal_places=4, read_only=True, allow_null=True)
    is_warning_reached = serializers.BooleanField(read_only=True)
    is_limit_reached = serializers.BooleanField(read_only=True)
    warning_threshold = serializers.SerializerMethodField()
    warning_sent_at = serializers.DateTimeField(read_only=True, allow_null=True)
    hard_limit_reached_at = serializers.DateTimeField(read_only=True, allow_null=True)
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
            "on_limit",
            "is_active",
            "adopted_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_warning_threshold(self, budget: Budget) -> str:
        return str(WARNING)

    @extend_schema_field(ThresholdSerializer(many=True))
    def get_thresholds(self, budget: Budget) -> list[dict[str, object]]:
        rows = sorted(budget.thresholds.all(), key=lambda threshold: threshold.fraction)
        return ThresholdSerializer(rows, many=True).data


class NewBudgetSerializer(serializers.Serializer):
    """The body that sets a budget. `scope_id` may be left out for the whole organization."""

    scope = serializers.ChoiceField(Budget.Scope.choices)
    scope_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    amount = Money(min_value=Decimal(0))
    period_start = serializers.DateTimeField(help_text="A whole UTC hour.")
    period_end = serializers.DateTimeField(help_text="A whole UTC hour; the period ends just before it.")
    recurs = serializers.ChoiceField(Budget.Recurs.choices, default=Budget.Recurs.NONE)
    on_limit = serializers.ChoiceField(Budget.OnLimit.choices, default=Budget.OnLimit.BLOCK_LAUNCHES)
    owner = serializers.EmailField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if attrs["scope_id"] is None and attrs["scope"] != Budget.Scope.ORGANIZATION:
            raise serializers.ValidationError({"scope_id": "Name the person, team or project by its id."})
        return attrs


class ChangeSerializer(serializers.Serializer):
    """What to change of a budget; what is left out stays."""

    amount = Money(min_value=Decimal(0), required=False)
    is_active = serializers.BooleanField(required=False)
    on_limit = serializers.ChoiceField(Budget.OnLimit.choices, required=False)
    recurs = serializers.ChoiceField(Budget.Recurs.choices, required=False)
    owner = serializers.EmailField(required=False, allow_null=True, help_text="Who hears of it first; null = nobody.")

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if not attrs:
            raise serializers.ValidationError(f"Give at least one of: {', '.join(self.fields)}.")
        return attrs


class CheckSerializer(serializers.Serializer):
    """An amount, and whom it would be charged to: by default the caller and the caller's only team."""

    amount = Money(min_value=Decimal(0))
    owner = serializers.EmailField(required=False, allow_null=True, default=None)
    team = Text(max_length=63, required=False, allow_null=True, default=None)
    project = Text(max_length=63, required=False, allow_null=True, default=None)


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
