"""Places in a list that is ordered by several columns, each in its own direction: pages without offsets.

The last column is the primary key, so every row has a place of its own. Where all columns go the same way and none can
be NULL, what follows a place is one comparison of rows, which one index answers from there on; otherwise it is the
lexicographic disjunction, with a bound on the first column for an index to begin at. NULLs stand where PostgreSQL puts
them by default: last ascending, first descending.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from django.db import models
from django.db.models import F, Field, Q, QuerySet, Value

from forge.api.keysets import InvalidCursor, Position, RowAfter, column_at, from_json, to_json

MOST_LETTERS = 4000
"""Of a place as an address carries it."""
_VALUE = "order_value_"
_PLACED = (
    models.BooleanField, models.CharField, models.DateField, models.DecimalField, models.FloatField,
    models.GenericIPAddressField, models.IntegerField, models.TextField, models.UUIDField,
)  # fmt: skip
"""Types of columns whose values an address can carry."""


def is_placed(field: Any) -> bool:
    """Whether a list can be ordered by the field: not by arrays, documents and bytes."""
    field = getattr(field, "target_field", field)
    return isinstance(getattr(field, "output_field", field), _PLACED)


@dataclass(frozen=True)
class Column:
    """One column of an order: its path in the ORM, and what is known of its values."""

    path: str
    descending: bool
    field: Field
    nullable: bool

    def equals(self, value: Any) -> Q:
        if value is None:
            return Q(**{f"{self.path}__isnull": True})
        return Q(**{self.path: Value(value, output_field=self.field)})

    def follows(self, value: Any, *, descending: bool, inclusive: bool = False) -> Q | None:
        """The rows whose value comes after `value` in that direction; None where there can be none."""
        if value is None:
            return Q(**{f"{self.path}__isnull": False}) if descending else None
        operator = ("<" if descending else ">") + ("=" if inclusive else "")
        beyond = Q(RowAfter(operator, F(self.path), Value(value, output_field=self.field)))
        return beyond | Q(**{f"{self.path}__isnull": True}) if self.nullable and not descending else beyond


@dataclass(frozen=True)
class Order:
    """The columns of a list, the primary key last."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, queryset: QuerySet, names: Sequence[str]) -> Order:
        """The order by `names` (paths, with - for descending) up to the primary key, which is added where it lacks.

        It then goes the way of the last one named, so that one index may serve the whole. What cannot be placed is
        left out.
        """
        pk = queryset.model._meta.pk
        columns: list[Column] = []
        for name in names:
            column = _column(queryset, name.removeprefix("-"), name.startswith("-"))
            if is_placed(column.field) and all(column.path != other.path for other in columns):
                columns.append(column)
            if column.path == pk.attname:
                return cls(tuple(columns))
        columns.append(Column(pk.attname, columns[-1].descending if columns else True, pk, nullable=False))
        return cls(tuple(columns))

    @property
    def names(self) -> list[str]:
        """As `of` takes them."""
        return [f"{'-' if column.descending else ''}{column.path}" for column in self.columns]

    @property
    def carriers(self) -> list[str]:
        """What the rows of `apply` have the values of the columns in: those of other tables in annotations."""
        return [f"{_VALUE}{nr}" if "__" in one.path else one.path for nr, one in enumerate(self.columns)]

    def apply(self, queryset: QuerySet, position: Position | None) -> QuerySet:
        """The rows behind `position` (those before it, the nearest first, when it looks backward), in order."""
        backward = position is not None and position.backward
        if position is not None:
            queryset = queryset.filter(self._behind(position))
        pairs = zip(self.carriers, self.columns, strict=True)
        carried = {name: F(column.path) for name, column in pairs if name != column.path}
        ways = [F(one.path).desc() if one.descending != backward else F(one.path).asc() for one in self.columns]
        return queryset.annotate(**carried).order_by(*ways)

    def position_of(self, row: Any, *, backward: bool = False) -> Position:
        """Where a row of `apply` (an instance, or a dict of `values`) stands: its values but the key, and its key."""
        get = row.__getitem__ if isinstance(row, dict) else partial(getattr, row)
        *values, pk = map(get, self.carriers)
        return Position(tuple(values), pk, backward)

    def encode(self, position: Position) -> str:
        """The position as an opaque text for an address."""
        flags = int(position.backward) + 2 * int(position.inclusive)
        values = [to_json(value) for value in (*position.value, position.pk)]
        body = json.dumps([self.names, flags, values], separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")

    def decode(self, text: str) -> Position:
        """The position in `text`; raises InvalidCursor unless it was made for this order and its types."""
        if len(text) > MOST_LETTERS:
            raise InvalidCursor("too long")
        try:
            body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            names, flags, values = json.loads(body)
        except (binascii.Error, ValueError, TypeError, RecursionError):
            raise InvalidCursor("not a cursor") from None
        if names != self.names or type(flags) is not int or flags not in range(4):
            raise InvalidCursor("made for another order")
        if not isinstance(values, list) or len(values) != len(self.columns):
            raise InvalidCursor("incomplete")
        *read, pk = (_value(column, value) for column, value in zip(self.columns, values, strict=True))
        return Position(tuple(read), pk, bool(flags & 1), bool(flags & 2))

    def _behind(self, position: Position) -> Q:
        values = (*position.value, position.pk)
        ways = [column.descending != position.backward for column in self.columns]
        if len(set(ways)) == 1 and not any(column.nullable for column in self.columns):
            operator = ("<" if ways[0] else ">") + ("=" if position.inclusive else "")
            given = (Value(value, output_field=one.field) for one, value in zip(self.columns, values, strict=True))
            return Q(RowAfter(operator, *(F(column.path) for column in self.columns), *given))
        return self._one_of(values, ways, inclusive=position.inclusive)

    def _one_of(self, values: Sequence[Any], ways: Sequence[bool], *, inclusive: bool) -> Q:
        """Behind in the first column, or equal there and behind in the second, and so on."""
        cases: list[Q] = []
        equal = Q()
        for column, value, descending in zip(self.columns, values, ways, strict=True):
            if (further := column.follows(value, descending=descending)) is not None:
                cases.append(equal & further)
            equal &= column.equals(value)
        if inclusive:
            cases.append(equal)
        first, value = self.columns[0], values[0]
        begins = first.follows(value, descending=ways[0], inclusive=True)
        if value is None:
            begins = first.equals(value) if begins is None else begins | first.equals(value)
        return begins & reduce(Q.__or__, cases)


def _column(queryset: QuerySet, path: str, descending: bool) -> Column:
    if path in queryset.query.annotations:
        return Column(path, descending, queryset.query.annotations[path].output_field, nullable=True)
    path, field, nullable = column_at(queryset.model, path)
    return Column(path, descending, getattr(field, "output_field", field), nullable)


def _value(column: Column, value: Any) -> Any:
    if value is None and not column.nullable:
        raise InvalidCursor("incomplete")
    return from_json(column.field, value)
