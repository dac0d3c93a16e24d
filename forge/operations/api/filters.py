"""What lists of operations can be asked for."""

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.operations.models import Operation


class OperationFilterSet(ForgeFilterSet):
    open = TrueOrFalseFilter(field_name="finished_at", lookup_expr="isnull", label="Whether it has not ended yet.")
    late = TrueOrFalseFilter(method="filter_late", label="Whether it ended, or goes on, past its deadline.")

    class Meta:
        model = Operation
        fields = {
            "status": ["exact", "in"],
            "kind": ["exact", "in"],
            "target_type": ["exact"],
            "target_id": ["exact", "in"],
            "owner_id": ["exact"],
            "team_id": ["exact"],
            "actor_id": ["exact"],
            "parent_id": ["exact"],
            "correlation_id": ["exact"],
            "created_at": ["gte", "gt", "lte", "lt"],
        }

    def filter_late(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        late = Q(deadline_at__lt=timezone.now(), finished_at__isnull=True) | Q(finished_at__gt=F("deadline_at"))
        return queryset.filter(late) if value else queryset.exclude(late)
