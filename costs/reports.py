"""Sums of costs by day and by what they are grouped by, from the daily sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import F, Max, Min, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from costs.models import DailyCost

DIMENSIONS: Mapping[str, str] = {
    "team": "team__slug",
    "project": "project__slug",
    "user": "user__email",
    "blueprint": "blueprint_id",
    "bundle_type": "bundle_type",
    "region": "region",
    "cost_center": "cost_center",
    "running_mode": "running_mode",
}
"""What costs can be grouped by → its column."""

SUMS = ("total_cost", "compute_cost", "storage_cost", "data_transfer_cost", "billed_hours")
MIXED = "MIXED"
"""Basis of a sum whose parts came about in different ways."""

_BASES = {"least_basis": Min("basis"), "greatest_basis": Max("basis")}


def total(costs: QuerySet[DailyCost]) -> dict[str, Any]:
    """The sums over all `costs`."""
    zero = Value(Decimal(0))
    sums: dict[str, Any] = {name: Coalesce(Sum(name), zero) for name in SUMS}
    return _shown(costs.aggregate(**sums, **_BASES))


def groups(costs: QuerySet[DailyCost], *, by: str, most: int) -> list[dict[str, Any]]:
    """The sums of each group of one dimension, the dearest first, at most `most` of them."""
    rows = _grouped(costs, [by]).order_by("-sum_total_cost", f"by_{by}")
    return [_named(row) for row in rows[:most]]


def days(costs: QuerySet[DailyCost], *, by: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The sums of each day and group in the order of days, at most `most` of them; [] groups by day alone."""
    rows = _grouped(costs, by, "day").order_by("day", *(f"by_{name}" for name in by))
    return [_named(row) for row in rows[:most]]


def between(costs: QuerySet[DailyCost], start: date, end: date) -> QuerySet[DailyCost]:
    """The costs of the UTC days [start, end)."""
    return costs.filter(day__gte=start, day__lt=end)


def _grouped(costs: QuerySet[DailyCost], by: Sequence[str], *columns: str) -> QuerySet[Any, Any]:
    keys = {f"by_{name}": F(DIMENSIONS[name]) for name in by}
    return costs.values(*columns, **keys).annotate(**{f"sum_{name}": Sum(name) for name in SUMS}, **_BASES)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return _shown({name.removeprefix("by_").removeprefix("sum_"): value for name, value in row.items()})


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    least, greatest = row.pop("least_basis"), row.pop("greatest_basis")
    return {**row, "basis": least if least == greatest else MIXED}
