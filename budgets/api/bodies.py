"""What requests about budgets say, as it is taken."""

from __future__ import annotations

from decimal import Decimal

from rest_framework import serializers

from budgets.api.serializers import Money
from budgets.models import FRACTIONS, MOST_THRESHOLDS, Budget
from budgets.terms import MOST_REASON
from forge.api.fields import Id, Text


def _thresholds(**options: object) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.DecimalField(max_digits=5, decimal_places=4),
        max_length=MOST_THRESHOLDS,
        help_text="Fractions of the limit at which people are told: above 0, at most 2.",
        **options,
    )


class NewBudgetSerializer(serializers.Serializer):
    """The body that sets a budget. `scope_id` may be left out for the whole organization."""

    example = {
        "scope": "TEAM",
        "scope_id": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f",
        "amount": "5000.00",
        "period_start": "2027-01-01T00:00:00Z",
        "period_end": "2027-02-01T00:00:00Z",
        "recurs": "MONTHLY",
    }

    scope = serializers.ChoiceField(Budget.Scope.choices)
    scope_id = Id(required=False, allow_null=True, default=None)
    amount = Money(min_value=Decimal(0))
    period_start = serializers.DateTimeField(help_text="A whole UTC hour.")
    period_end = serializers.DateTimeField(help_text="A whole UTC hour; the period ends just before it.")
    recurs = serializers.ChoiceField(Budget.Recurs.choices, default=Budget.Recurs.NONE)
    on_limit = serializers.ChoiceField(Budget.OnLimit.choices, default=Budget.OnLimit.BLOCK_LAUNCHES)
    owner = serializers.EmailField(required=False, allow_null=True, default=None)
    thresholds = _thresholds(default=list(FRACTIONS))

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if attrs["scope_id"] is None and attrs["scope"] != Budget.Scope.ORGANIZATION:
            raise serializers.ValidationError({"scope_id": "Name the person, team or project by its id."})
        return attrs


class ChangeSerializer(serializers.Serializer):
    """What to change of a budget; what is left out stays."""

    example = {"amount": "6000.00"}

    amount = Money(min_value=Decimal(0), required=False)
    is_active = serializers.BooleanField(required=False)
    on_limit = serializers.ChoiceField(Budget.OnLimit.choices, required=False)
    recurs = serializers.ChoiceField(Budget.Recurs.choices, required=False)
    owner = serializers.EmailField(
        required=False, allow_null=True, help_text="Who hears of its marks beside leads and finance; null = nobody."
    )
    thresholds = _thresholds(required=False)

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if not attrs:
            raise serializers.ValidationError(f"Give at least one of: {', '.join(self.fields)}.")
        return attrs


class CheckSerializer(serializers.Serializer):
    """An amount, and whom it would be charged to: by default the caller and the caller's only team."""

    example = {"amount": "120.00"}

    amount = Money(min_value=Decimal(0))
    owner = serializers.EmailField(required=False, allow_null=True, default=None)
    team = Text(max_length=63, required=False, allow_null=True, default=None)
    project = Text(max_length=63, required=False, allow_null=True, default=None)


class NewRaiseSerializer(serializers.Serializer):
    """The body that raises a budget for a time."""

    example = {
        "budget": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f",
        "amount": "500.00",
        "ends_at": "2027-01-20T00:00:00Z",
        "reason": "The release needs ten more machines.",
    }

    budget = Id()
    amount = Money(min_value=Decimal(0))
    ends_at = serializers.DateTimeField(help_text="A whole UTC hour, at most the end of the budget's period.")
    reason = Text(max_length=MOST_REASON)


class TransferSerializer(serializers.Serializer):
    """What moves, to which budget and why."""

    example = {"to": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f", "amount": "250.00", "reason": "The project moved."}

    to = Id(help_text="The budget of another team that gets it.")
    amount = Money(min_value=Decimal(0))
    reason = Text(max_length=MOST_REASON)
