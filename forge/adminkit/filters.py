"""List filters that offer only what the person may see."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.filters import RelatedFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

MAX_CHOICES = 200


def visible(queryset: QuerySet, request: HttpRequest) -> QuerySet:
    """The rows of `queryset` that the person may see, where the model knows who may see what."""
    return queryset.visible_to(request.user) if hasattr(queryset, "visible_to") else queryset


class VisibleRelatedFilter(RelatedFieldListFilter):
    """A relation's filter with the first MAX_CHOICES visible rows, where Django's lists every organization's."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        rows = visible(field.related_model._default_manager.all(), request)
        ordering = self.field_admin_ordering(field, request, model_admin) or ("pk",)
        return [(row.pk, str(row)) for row in rows.order_by(*ordering)[:MAX_CHOICES]]
