"""`/api/v1/costs/book-faults/`: where the nightly proof found that the books do not agree."""

from __future__ import annotations

from rest_framework.mixins import ListModelMixin

from costs.models import BookFault
from forge.api.filters import ForgeFilterSet
from forge.api.serializers import RowSerializer
from forge.api.views import ForgeViewSet


class BookFaultSerializer(RowSerializer):
    """Sums that differed from their records; `resolved_at` null = they still do."""

    class Meta:
        model = BookFault
        fields = [
            "id",
            "kind",
            "day",
            "subject",
            "expected",
            "found",
            "groups",
            "seen_at",
            "last_seen_at",
            "resolved_at",
        ]
        read_only_fields = fields


class BookFaultFilterSet(ForgeFilterSet):
    class Meta:
        model = BookFault
        fields = {"kind": ["exact"], "day": ["exact", "gte", "lt"], "resolved_at": ["isnull"]}


class BookFaultViewSet(ListModelMixin, ForgeViewSet):
    """Faults of the organization's books, the latest first, for those who see all its costs."""

    queryset = BookFault.objects.all()
    serializer_class = BookFaultSerializer
    filterset_class = BookFaultFilterSet
    ordering_fields = ("id",)
    ordering = "-id"
    audit_resource = "BookFault"
