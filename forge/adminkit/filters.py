"""List filters that offer only what the person may see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.filters import RelatedFieldListFilter, SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Model, QuerySet
from django.http import HttpRequest

MAX_CHOICES = 200
_LOOKUPS = ("", "__exact", "__in", "__isnull", "__isempty", "__gt", "__gte", "__lt", "__lte")
"""What the list filters of Django and Unfold ask of a field."""


def visible(queryset: QuerySet, request: HttpRequest) -> QuerySet:
    """The rows of `queryset` that the person may see, where the model knows who may see what."""
    return queryset.visible_to(request.user) if hasattr(queryset, "visible_to") else queryset


def lookups_of(model: type[Model], list_filter: Any) -> Iterator[str]:
    """The parameters of an address that one entry of an admin class's `list_filter` reads."""
    field = list_filter[0] if isinstance(list_filter, list | tuple) else list_filter
    if not isinstance(field, str):  # a filter class with a parameter of its own
        yield field.parameter_name
        return
    yield from (field + lookup for lookup in _LOOKUPS)
    target = get_fields_from_path(model, field)[-1]
    if target.is_relation:
        yield f"{field}__{target.target_field.name}__exact"  # type: ignore[union-attr]


class VisibleRelatedFilter(RelatedFieldListFilter):
    """A relation's filter with the first MAX_CHOICES visible rows, where Django's lists every organization's."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        rows = visible(field.related_model._default_manager.all(), request)
        ordering = self.field_admin_ordering(field, request, model_admin) or ("pk",)
        return [(row.pk, str(row)) for row in rows.order_by(*ordering)[:MAX_CHOICES]]

    def has_output(self) -> bool:
        """Also with one choice where the address asks for a row: Django filters by what is shown alone."""
        return bool(self.used_parameters) or super().has_output()


class WordFilter(SimpleListFilter):
    """A filter by one of the words that `lookups` names; another finds nothing."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        word = self.value()
        if not word:
            return queryset
        is_known = any(word == known for known, _ in self.lookup_choices)
        return self.chosen(queryset, word) if is_known else queryset.none()

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        """The rows of that word."""
        raise NotImplementedError
