"""Serializers of lists: what DRF shows, at a third of its price.

DRF asks each field of each row anew for its source path, its time zone and its formats. For the plain kinds of fields
the answers are known when the serializer is made; every other field is shown by DRF itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import Field, SkipField, empty
from rest_framework.relations import PKOnlyObject

Read = Callable[[Any], Any]
Write = Callable[[Any], Any]


class QuickRows:
    """Mixin before a (Model)Serializer: the same output, made by readers that are compiled once per serializer."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        shown = {}
        for name, read in self._readers:
            try:
                shown[name] = read(instance)
            except SkipField:
                continue
        return shown

    @cached_property
    def _readers(self) -> list[tuple[str, Read]]:
        return [(field.field_name, _reader(field)) for field in self._readable_fields]  # type: ignore[attr-defined]


class RowSerializer(QuickRows, serializers.ModelSerializer):
    """A ModelSerializer that shows rows quickly."""


def _reader(field: Field) -> Read:
    kind = type(field)
    if kind is serializers.SerializerMethodField:
        return getattr(field.parent, field.method_name)
    write = _writer(field)
    if write is None or kind.get_attribute is not Field.get_attribute or not _is_null_where_the_path_ends(field):
        return partial(_read_as_drf, field)
    return partial(_read, field.source_attrs, write)


def _is_null_where_the_path_ends(field: Field) -> bool:
    """Whether DRF shows null, and not a default or nothing at all, when a row on the way to the value is missing."""
    return len(field.source_attrs) == 1 or field.default is None or (field.default is empty and field.allow_null)


def _read(attributes: list[str], write: Write, row: Any) -> Any:
    for name in attributes:
        row = row[name] if isinstance(row, dict) else getattr(row, name)
        if callable(row):
            row = row()
        if row is None:
            return None
    return write(row)


def _read_as_drf(field: Field, row: Any) -> Any:
    value = field.get_attribute(row)
    is_none = (value.pk if isinstance(value, PKOnlyObject) else value) is None
    return None if is_none else field.to_representation(value)


def _as_it_is(value: Any) -> Any:
    return value


def _bool(field: serializers.BooleanField, value: Any) -> Any:
    return value if value is True or value is False else field.to_representation(value)


def _choice(field: serializers.ChoiceField, value: Any) -> Any:
    return str(value) if isinstance(value, str) else field.to_representation(value)


def _datetime(field: serializers.DateTimeField, value: datetime) -> Any:
    return value.isoformat()[:-6] + "Z" if value.tzinfo is UTC else field.to_representation(value)


def _writer(field: Field) -> Write | None:
    """What shows a value of `field` that is not None, None to leave it to DRF."""
    shown_by = type(field).to_representation
    special = getattr(field, "binary", False) or getattr(field, "uuid_format", "hex_verbose") != "hex_verbose"
    if special or hasattr(field, "format") or hasattr(field, "timezone"):
        return None
    return partial(_ASKING[shown_by], field) if shown_by in _ASKING else _PLAIN.get(shown_by)


_PLAIN: dict[Any, Write] = {
    serializers.CharField.to_representation: str,
    serializers.IntegerField.to_representation: int,
    serializers.UUIDField.to_representation: str,
    serializers.JSONField.to_representation: _as_it_is,
    serializers.ReadOnlyField.to_representation: _as_it_is,
}
_ASKING: dict[Any, Callable[[Any, Any], Any]] = {
    serializers.BooleanField.to_representation: _bool,
    serializers.ChoiceField.to_representation: _choice,
    serializers.DateTimeField.to_representation: _datetime,
}
"""How DRF shows a field → how it is shown here; a subclass that shows values its own way is in neither."""
