"""Row-value keysets: the order, the position and the comparison that let a list be walked without offsets.

A list is ordered by one field and then by the primary key, both in the same direction, so that every row has a place
of its own and `(field, id) > (value, id)` is one index condition. NULLs stand where PostgreSQL puts them by default
(last ascending, first descending), so that the same index serves both directions.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any, cast

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import BooleanField, F, Field, Func, GenericIPAddressField, Model, Q, QuerySet, Value
from django.db.models.expressions import Combinable, OrderBy
from django.utils import timezone

_CURSOR_MAX_LENGTH = 2000
_DECIMAL_MAX_EXPONENT = 40
VALUE_ATTRIBUTE = "keyset_value"


class InvalidCursor(ValueError):
    """The cursor was not made by this list in this order."""


class RowAfter(Func):
    """`(a, b) > (x, y)` as SQL; `operator` is one of > >= < <=."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, operator: str, *expressions: Any, **extra: Any) -> None:
        super().__init__(*expressions, **extra)
        self.operator = operator

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        parts = [compiler.compile(expression) for expression in self.source_expressions]
        left, right = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        params = [param for _, some in parts for param in some]
        rows = [", ".join(sql for sql, _ in side) for side in (left, right)]
        return f"({rows[0]}) {self.operator} ({rows[1]})", params


@dataclass(frozen=True)
class Position:
    """A place in a list: beside the row with this value and id, looking back or not, with the row itself or not."""

    value: Any
    pk: Any
    backward: bool = False
    inclusive: bool = False


@dataclass(frozen=True)
class Keyset:
    """One order of one queryset: `name` as the caller writes it, `path` as the ORM does."""

    name: str
    path: str
    descending: bool
    field: Field
    pk: Field
    nullable: bool

    @classmethod
    def of(cls, queryset: QuerySet, name: str, path: str, *, descending: bool) -> Keyset:
        """The keyset of `queryset` ordered by `path` (a field, a relation's field or an annotation)."""
        pk = queryset.model._meta.pk
        if path in queryset.query.annotations:
            return cls(name, path, descending, queryset.query.annotations[path].output_field, pk, nullable=True)
        path, field, nullable = column_at(queryset.model, path)
        return cls(name, path, descending, field, pk, nullable)

    @property
    def is_pk(self) -> bool:
        return self.field is self.pk

    def apply(self, queryset: QuerySet, position: Position | None) -> QuerySet:
        """The rows after `position` (before it, nearest first, when it looks backward), in order."""
        descending = self.descending != bool(position and position.backward)
        if position is not None:
            queryset = queryset.filter(self._beyond(position, descending))
        if "__" in self.path:
            queryset = queryset.annotate(**{VALUE_ATTRIBUTE: F(self.path)})
        return queryset.order_by(*self._order(descending))

    def position_of(self, row: Any, *, backward: bool = False) -> Position:
        """Where `row` (an instance, or a dict of a values() queryset) stands."""
        name = VALUE_ATTRIBUTE if "__" in self.path else self.path
        if isinstance(row, dict):
            return Position(row[name], row[self.pk.attname], backward)
        return Position(getattr(row, name), row.pk, backward)

    def encode(self, position: Position) -> str:
        """The position as an opaque text for a URL."""
        flags = int(position.backward) + 2 * int(position.inclusive)
        ordering = ("-" if self.descending else "") + self.name
        body = json.dumps([ordering, flags, to_json(position.value), to_json(position.pk)], separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")

    def decode(self, text: str) -> Position:
        """The position in `text`; raises InvalidCursor unless it was made for this order and types."""
        if len(text) > _CURSOR_MAX_LENGTH:
            raise InvalidCursor("too long")
        try:
            body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            ordering, flags, value, pk = json.loads(body)
        except (binascii.Error, ValueError, TypeError, RecursionError):
            raise InvalidCursor("not a cursor") from None
        if ordering != ("-" if self.descending else "") + self.name or type(flags) is not int or flags not in range(4):
            raise InvalidCursor("made for another order")
        if pk is None or (value is None and not self.nullable):
            raise InvalidCursor("incomplete")
        return Position(from_json(self.field, value), from_json(self.pk, pk), bool(flags & 1), bool(flags & 2))

    def _order(self, descending: bool) -> list[OrderBy]:
        paths = [self.path] if self.is_pk else [self.path, self.pk.attname]
        return [F(path).desc() if descending else F(path).asc() for path in paths]

    def _beyond(self, position: Position, descending: bool) -> Q:
        operator = ("<" if descending else ">") + ("=" if position.inclusive else "")
        pk = Value(position.pk, output_field=self.pk)
        if self.is_pk:
            return Q(RowAfter(operator, F(self.pk.attname), pk))
        if position.value is None:  # NULLs end an ascending list and begin a descending one
            among_nulls = Q(RowAfter(operator, F(self.pk.attname), pk)) & Q(**{f"{self.path}__isnull": True})
            return among_nulls | Q(**{f"{self.path}__isnull": False}) if descending else among_nulls
        value: Combinable = Value(position.value, output_field=self.field)
        beyond = Q(RowAfter(operator, F(self.path), F(self.pk.attname), value, pk))
        nulls_follow = self.nullable and not descending
        return beyond | Q(**{f"{self.path}__isnull": True}) if nulls_follow else beyond


def column_at(model: type[Model], path: str) -> tuple[str, Field, bool]:
    """(path that ends in a column, that column's field, whether it can be NULL)."""
    nullable = False
    *relations, last = path.split("__")
    for name in relations:
        relation = model._meta.get_field(name)
        if relation.many_to_many or relation.one_to_many:
            raise FieldDoesNotExist(f"{path} leads to many rows: a list cannot be ordered by it")
        nullable = nullable or getattr(relation, "null", True)
        model = cast(type[Model], relation.related_model)
    field: Any = model._meta.pk if last == "pk" else model._meta.get_field(last)
    column = "__".join([*relations, field.attname])
    return column, getattr(field, "target_field", field), nullable or field.null


def to_json(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.astimezone(timezone.get_default_timezone()).isoformat()
        case date() | Decimal() | uuid.UUID():
            return str(value)
    raise TypeError(f"a list cannot be ordered by values of the type {type(value).__name__}")


def from_json(field: Field, value: Any) -> Any:
    if isinstance(value, list | dict) or (isinstance(value, str) and "\x00" in value):
        raise InvalidCursor("wrong type")
    try:
        typed = field.to_python(value)
        if isinstance(field, GenericIPAddressField) and typed is not None:
            ip_address(typed)
        written = to_json(typed)
        str(written).encode()  # no half of a surrogate pair
    except (ValidationError, ValueError, TypeError, OverflowError, InvalidOperation):
        raise InvalidCursor("wrong type") from None
    if isinstance(typed, Decimal) and not (typed.is_finite() and abs(typed.adjusted()) < _DECIMAL_MAX_EXPONENT):
        raise InvalidCursor("wrong type")
    if written != value:  # only what encode() would have written: no other spelling, zone or type
        raise InvalidCursor("wrong type")
    return typed
