"""Sums of costs by time and by what they are grouped by: from the daily sums, and by hour from the records.

Daily sums and records have the same columns, so each function takes either. Rows are grouped by id, and only the groups
that are shown get their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Expression, F, Max, Min, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncMonth, TruncWeek

from forge.db.months import add_months


class Dimension(NamedTuple):
    """What costs can be grouped by: its column, and the field of the row that it names which people know it by."""

    column: str
    name: str | None = None


DIMENSIONS: Mapping[str, Dimension] = {
    "organization": Dimension("organization", "slug"),
    "team": Dimension("team", "slug"),
    "project": Dimension("project", "slug"),
    "user": Dimension("user", "email"),
    "blueprint": Dimension("blueprint"),
    "bundle_type": Dimension("bundle_type"),
    "region": Dimension("region"),
    "cost_center": Dimension("cost_center"),
    "running_mode": Dimension("running_mode"),
}

TAG = "tag"
"""The one dimension of sums by tag (costs.tags); '' = what has not got the tag."""

HOUR, DAY, WEEK, MONTH = "hour", "day", "week", "month"
INTERVALS = (HOUR, DAY, WEEK, MONTH)
"""Of UTC; a week begins on Monday, as in ISO 8601. Hours are in the records alone."""
INTERVALS_AHEAD = (DAY, WEEK, MONTH)
"""What is ahead has no records."""

SUMS = ("total_cost", "compute_cost", "storage_cost", "data_transfer_cost", "billed_hours")
MIXED = "MIXED"
"""Basis of a sum whose parts came about in different ways."""

_BASES = {"least_basis": Min("basis"), "greatest_basis": Max("basis")}
STARTS: Mapping[str, Expression | F] = {
    HOUR: F("period_start"),
    DAY: F("day"),
    WEEK: TruncWeek("day"),
    MONTH: TruncMonth("day"),
}


def total(costs: QuerySet[Any]) -> dict[str, Any]:
    """The sums over all `costs`."""
    zero = Value(Decimal(0))
    sums: dict[str, Any] = {name: Coalesce(Sum(name), zero) for name in SUMS}
    return _shown(costs.aggregate(**sums, **_BASES))


def total_of(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums over groups that are all there are."""
    groups = list(groups)
    bases = {row["basis"] for row in groups}
    sums = {name: sum((row[name] for row in groups), Decimal(0)) for name in SUMS}
    return {**sums, "basis": MIXED if len(bases) > 1 else next(iter(bases), None)}


def groups(costs: QuerySet[Any], *, by: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The sums of each group of one or two dimensions, the dearest first, at most `most` of them."""
    rows = _grouped(costs, by).order_by("-sum_total_cost", *(f"by_{name}" for name in by))
    return _named(costs, by, rows[:most])


def series(costs: QuerySet[Any], *, interval: str, by: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The sums of each interval and group in the order of time, at most `most` of them; [] groups by time alone.

    `period_start` is the first day of the interval, or the instant at which the hour begins.
    """
    rows = _grouped(costs, by, at=STARTS[interval]).order_by("at", *(f"by_{name}" for name in by))
    found = _named(costs, by, rows[:most])
    return [{"period_start": row.pop("at"), **row} for row in found]


def between(costs: QuerySet[Any], start: date, end: date) -> QuerySet[Any]:
    """The daily sums of the UTC days [start, end)."""
    return costs.filter(day__gte=start, day__lt=end)


def hours_between(records: QuerySet[Any], start: date, end: date) -> QuerySet[Any]:
    """The records of the UTC days [start, end)."""
    return records.filter(
        period_start__gte=datetime.combine(start, time(), UTC), period_start__lt=datetime.combine(end, time(), UTC)
    )


def is_cut(interval: str, first: Any, start: date, end: date) -> bool:
    """True where the range [start, end) holds only a part of the interval that begins at `first`."""
    if interval in (HOUR, DAY):
        return False
    return first < start or following(interval, first) > end


def interval_of(interval: str, day: date) -> date:
    """The first day of the day's interval."""
    if interval == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == MONTH else day


def following(interval: str, first: date) -> date:
    """The first day of the next interval."""
    return add_months(first, 1) if interval == MONTH else first + timedelta(days=7 if interval == WEEK else 1)


def put_names(model: Any, by: Sequence[str], rows: Iterable[dict[str, Any]], *, prefix: str = "") -> None:
    """Put into rows what people know each dimension's id by, in place of the id."""
    found = list(rows)
    for name in by:
        dimension = _dimension(name)
        if dimension.name is None:
            continue
        key = f"{prefix}{name}"
        named: Any = model._meta.get_field(dimension.column).related_model
        ids = {row[key] for row in found} - {None}
        names = dict(named.objects.filter(pk__in=ids).values_list("pk", dimension.name)) if ids else {}
        for row in found:
            row[key] = names.get(row[key])


def _grouped(costs: QuerySet[Any], by: Sequence[str], **more: Any) -> QuerySet[Any, Any]:
    keys = {f"by_{name}": F(_dimension(name).column) for name in by}
    return costs.values(**more, **keys).annotate(**{f"sum_{name}": Sum(name) for name in SUMS}, **_BASES)


def _named(costs: QuerySet[Any], by: Sequence[str], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found = list(rows)
    put_names(costs.model, by, found, prefix="by_")
    return [
        _shown({key.removeprefix("by_").removeprefix("sum_"): value for key, value in row.items()}) for row in found
    ]


def _dimension(name: str) -> Dimension:
    return Dimension("value") if name == TAG else DIMENSIONS[name]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    least, greatest = row.pop("least_basis"), row.pop("greatest_basis")
    return {**row, "basis": least if least == greatest else MIXED}
