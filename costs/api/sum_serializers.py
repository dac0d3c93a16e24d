"""Sums of costs and forecasts as the API shows them; the view gives the currency in the context, and what sums are
grouped by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from costs.api.serializers import Money
from costs.forecasts import METHOD
from costs.models import Basis
from costs.reports import DIMENSIONS, INTERVALS, INTERVALS_AHEAD, MIXED, TAG
from costs.terms import instant


class SumSerializer(serializers.Serializer):
    """Sums of cost records; `basis` is MIXED where they came about in different ways, null where there are none."""

    total_cost = Money()
    compute_cost = Money()
    storage_cost = Money()
    data_transfer_cost = Money()
    billed_hours = Money()
    currency = serializers.SerializerMethodField()
    basis = serializers.CharField(allow_null=True, help_text=f"One of {', '.join([*Basis.values, MIXED])}.")

    @extend_schema_field(serializers.CharField())
    def get_currency(self, row: Any) -> str:
        return self.context["currency"]


def _of_field(field: serializers.Field) -> Callable[[Any], Any]:
    """How a field shows what is in a row."""
    return (lambda value: f"{value:.6f}") if isinstance(field, Money) else field.to_representation


class GroupSerializer(serializers.Serializer):
    """Base: the members of one group that were asked for in `group_by`."""

    organization = serializers.CharField(required=False)
    team = serializers.CharField(required=False)
    project = serializers.CharField(required=False, allow_null=True)
    user = serializers.EmailField(required=False)
    blueprint = serializers.UUIDField(required=False, allow_null=True)
    bundle_type = serializers.CharField(required=False)
    region = serializers.CharField(required=False)
    cost_center = serializers.CharField(required=False, allow_blank=True)
    running_mode = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Without the dimensions that the context says nobody asked for: looking for ten members that are not there, in
        each of hundreds of rows, took longer than showing the others.
        """
        fields = super().get_fields()
        asked = self.context.get("group_by")
        if asked is None:
            return fields
        return {name: field for name, field in fields.items() if name in asked or name not in (*DIMENSIONS, TAG)}


class GroupSumSerializer(GroupSerializer, SumSerializer):
    """Sums of one group: beside them stand the members that were asked for in `group_by`."""

    tag = serializers.CharField(required=False, help_text="The value; empty for what has not got the tag.")

    @cached_property
    def _columns(self) -> list[tuple[str, Callable[[Any], Any], bool, bool]]:
        """Of each member its name, what shows it, whether that takes the whole row, and whether it is always there."""
        of_row = serializers.SerializerMethodField
        return [
            (str(one.field_name), _of_field(one), isinstance(one, of_row), one.required) for one in self.fields.values()
        ]

    def to_representation(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields make of it, without asking each of them anew how it wants to be asked: that took most of the
        time in which a dashboard's points were shown.
        """
        shown = {}
        for name, show, takes_row, is_required in self._columns:
            if takes_row:
                shown[name] = show(row)
            elif is_required or name in row:
                value = row[name]
                shown[name] = None if value is None else show(value)
        return shown


class PointSerializer(GroupSumSerializer):
    """The sums of one interval, and of one group in it."""

    period_start = serializers.SerializerMethodField()
    day = serializers.DateField(required=False, help_text="Use period_start; the same where the interval is a day.")
    is_cut = serializers.BooleanField(help_text="True where the range holds only a part of the week or month.")

    @extend_schema_field(serializers.CharField(help_text="First UTC day of the interval, or the instant of the hour."))
    def get_period_start(self, row: dict[str, Any]) -> str:
        at = row["period_start"]
        return instant(at) if isinstance(at, datetime) else at.isoformat()


class FiguresSerializer(serializers.Serializer):
    """What every answer with figures says of them: the range of UTC days [start, end), the currency, and how far
    metering has booked the organization's machines.
    """

    start = serializers.DateField()
    end = serializers.DateField()
    currency = serializers.CharField()
    metered_until = serializers.DateTimeField(help_text="Hours that begin before it are in the figures.")
    lag_seconds = serializers.IntegerField(help_text="From there to now; 0 where nothing waits to be booked.")
    tag_since = serializers.DateField(required=False, help_text="By tag: the first day that is summed up.")


class SummarySerializer(FiguresSerializer):
    """Costs of the UTC days [start, end): the total of all, and the dearest groups."""

    total = SumSerializer()
    group_by = serializers.CharField(allow_null=True)
    groups = GroupSumSerializer(many=True)
    more_groups = serializers.BooleanField(help_text="True when there are cheaper groups that are not shown.")


class TimeseriesSerializer(FiguresSerializer):
    """Costs of the UTC days [start, end) by interval and group; what cost nothing is left out."""

    interval = serializers.ChoiceField(INTERVALS)
    group_by = serializers.ListField(child=serializers.CharField())
    results = PointSerializer(many=True)


class PaceSerializer(serializers.Serializer):
    """What started hours cost on a day of this weekday."""

    weekday = serializers.IntegerField(min_value=1, max_value=7, help_text="ISO: 1 is Monday.")
    running_cost = Money()


class ForecastPartSerializer(GroupSerializer):
    """What one interval, one group or one group in an interval will come to; what comes to nothing is left out."""

    period_start = serializers.DateField(
        required=False, help_text="First UTC day of the interval, if one is asked for."
    )
    spent = Money()
    fees_to_come = Money()
    running_to_come = Money()
    total_cost = Money()
    currency = serializers.SerializerMethodField()
    basis = serializers.SerializerMethodField()

    @extend_schema_field(serializers.CharField())
    def get_currency(self, row: Any) -> str:
        return self.context["currency"]

    @extend_schema_field(serializers.ChoiceField(Basis.choices))
    def get_basis(self, row: Any) -> str:
        return Basis.ESTIMATED


class CostForecastSerializer(FiguresSerializer):
    """What the costs of the UTC days [start, end), which are not over, will come to."""

    spent = SumSerializer()
    fees_to_come = Money(help_text="Monthly fees of the machines that live, from metered_until on.")
    running_to_come = Money(help_text="Started hours from metered_until on, at the pace of each weekday.")
    total_cost = Money(help_text="Spent, fees and running together.")
    basis = serializers.SerializerMethodField()
    pace = PaceSerializer(many=True)
    machines = serializers.IntegerField(help_text="That live, and whose fees are reckoned with.")
    interval = serializers.ChoiceField(INTERVALS_AHEAD, required=False, help_text="If one is asked for.")
    group_by = serializers.ListField(child=serializers.CharField())
    results = ForecastPartSerializer(
        many=True, help_text="The same by interval and group, where either is asked for: they come to the whole."
    )
    method = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(Basis.choices))
    def get_basis(self, row: Any) -> str:
        return Basis.ESTIMATED

    @extend_schema_field(serializers.CharField())
    def get_method(self, row: Any) -> str:
        return METHOD
