"""Filters of the list of budgets."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from budgets.models import Budget, BudgetRaise
from forge.api.filters import ForgeFilterSet, InstantFilter, TrueOrFalseFilter


class BudgetFilterSet(ForgeFilterSet):
    owner = filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="Email of the owner.")
    at = InstantFilter(method="filter_at", label="Budgets whose period holds this instant.")

    class Meta:
        model = Budget
        fields = {
            "scope": ["exact", "in"],
            "scope_id": ["exact", "in"],
            "is_active": ["exact"],
            "recurs": ["exact"],
            "on_limit": ["exact"],
            "amount": ["gte", "lte"],
            "period_start": ["exact", "gte", "lte"],
            "period_end": ["exact", "gte", "lte"],
        }

    def filter_at(self, queryset: QuerySet, name: str, value: datetime) -> QuerySet:
        return queryset.filter(period_start__lte=value, period_end__gt=value)


class RaiseFilterSet(ForgeFilterSet):
    is_open = TrueOrFalseFilter(field_name="ended_at", lookup_expr="isnull", label="Whether it still counts.")

    class Meta:
        model = BudgetRaise
        fields = {"budget": ["exact"], "ends_at": ["gte", "lte"]}
