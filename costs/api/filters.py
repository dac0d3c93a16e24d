"""What costs and prices can be asked for."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from costs.models import CostRecord, CostRevision, DailyCost, DailyTotal, Price
from forge.api.filters import ForgeFilterSet, InstantFilter
from workspaces.models import WorkSpace

_OF_MACHINES = {
    "bundle_type": ["exact", "in"],
    "region": ["exact", "in"],
    "running_mode": ["exact"],
    "cost_center": ["exact"],
    "blueprint": ["exact"],
    "basis": ["exact"],
}


class WhoseCosts(ForgeFilterSet):
    """Base: whose costs, in the words that people know."""

    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")
    project = filters.CharFilter(field_name="project__slug", label="Slug of the project.")
    user = filters.CharFilter(field_name="user__email", lookup_expr="iexact", label="Email of the machine's owner.")


class DailyCostFilterSet(WhoseCosts):
    class Meta:
        model = DailyCost
        fields = _OF_MACHINES


class DailyTotalFilterSet(ForgeFilterSet):
    """The filters of daily sums but the person, for totals."""

    team = filters.CharFilter(field_name="team__slug")
    project = filters.CharFilter(field_name="project__slug")

    class Meta:
        model = DailyTotal
        fields = _OF_MACHINES


class HourlyCostFilterSet(WhoseCosts):
    """The filters of daily sums, for records."""

    class Meta:
        model = CostRecord
        fields = _OF_MACHINES


class CostRecordFilterSet(WhoseCosts):
    class Meta:
        model = CostRecord
        fields = {**_OF_MACHINES, "workspace": ["exact"]}


_OF_FORECASTS = {name: _OF_MACHINES[name] for name in ("bundle_type", "region", "running_mode", "blueprint")}


class ForecastFilterSet(WhoseCosts):
    """What machines have as well as their costs."""

    class Meta:
        model = DailyCost
        fields = _OF_FORECASTS


class ForecastMachineFilterSet(ForgeFilterSet):
    """The filters of a forecast, for machines."""

    team = filters.CharFilter(field_name="team__slug")
    project = filters.CharFilter(field_name="project__slug")
    user = filters.CharFilter(field_name="owner__email", lookup_expr="iexact")

    class Meta:
        model = WorkSpace
        fields = _OF_FORECASTS


class PriceFilterSet(ForgeFilterSet):
    at = InstantFilter(method="filter_at", label="Prices in force at this instant.")

    class Meta:
        model = Price
        fields = {
            "organization": ["exact", "isnull"],
            "service_type": ["exact"],
            "region": ["exact", "in"],
            "bundle_type": ["exact", "in"],
            "operating_system": ["exact"],
            "running_mode": ["exact"],
            "currency": ["exact"],
        }

    def filter_at(self, queryset: QuerySet, name: str, value: datetime) -> QuerySet:
        return queryset.in_force(value)


class CostRevisionFilterSet(ForgeFilterSet):
    operation = filters.UUIDFilter(field_name="operation_id", label="Id of the operation that re-rated.")

    class Meta:
        model = CostRevision
        fields = {
            "workspace": ["exact"],
            "new_price": ["exact"],
            "old_basis": ["exact"],
            "new_basis": ["exact"],
            "period_start": ["gte", "lt"],
        }
