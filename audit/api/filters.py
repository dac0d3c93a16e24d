"""What the log can be asked for."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from audit import registry
from audit.actors import canonical_address
from audit.models import AuditLog
from forge.api.errors import parameter_error
from forge.api.filters import ForgeFilterSet, InvalidParameter, search


class AuditLogFilterSet(ForgeFilterSet):
    action_type = filters.CharFilter(method="filter_action", label="A declared action type.")
    action_type__in = filters.BaseInFilter(field_name="action_type", method="filter_actions")
    source_ip = filters.CharFilter(method="filter_address", label="An IPv4 or IPv6 address in any spelling.")
    user_email = filters.CharFilter(lookup_expr="iexact", label="The address as it was then; user_id is quicker.")
    q = filters.CharFilter(method="filter_words", label="Words, all of which stand in the description.")

    class Meta:
        model = AuditLog
        fields = {
            "timestamp": ["gte", "gt", "lte", "lt"],
            "occurred_at": ["gte", "gt", "lte", "lt"],
            "organization_id": ["exact"],
            "user_id": ["exact", "in"],
            "credential_id": ["exact"],
            "resource_type": ["exact"],
            "resource_id": ["exact"],
            "result": ["exact", "in"],
            "interface": ["exact", "in"],
            "actor_kind": ["exact", "in"],
            "correlation_id": ["exact"],
        }

    def filter_action(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return self.filter_actions(queryset, name, [value])

    def filter_actions(self, queryset: QuerySet, name: str, values: list[str]) -> QuerySet:
        if unknown := [value for value in values if value not in registry.names()]:
            raise _invalid(name, f"{unknown[0][:64]!r} is not a declared action type.")
        return queryset.filter(action_type__in=values)

    def filter_address(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        address = canonical_address(value)
        if address is None:
            raise _invalid(name, "Not an address.")
        return queryset.filter(source_ip=address)

    def filter_words(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return search(queryset, value, ["action_description"])


def _invalid(parameter: str, message: str) -> InvalidParameter:
    errors: list[dict[str, Any]] = [parameter_error(parameter, message)]
    return InvalidParameter("A filter is not valid.", errors=errors)
