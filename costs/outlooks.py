"""What costs will come to by interval and by what they are grouped by: costs.forecasts taken apart.

The parts come to the whole to the last millionth: what is lost in rounding one is carried on to the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from django.db.models import Expression, F, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from costs import reports
from costs.forecasts import PACE_DAYS, Group, fees_by, millionths, paces_by, running_cost
from forge.accounts.models import Organization
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace

MACHINE_COLUMNS: Mapping[str, Expression | F] = {
    "organization": F("organization_id"),
    "team": F("team_id"),
    "project": F("project_id"),
    "user": F("owner_id"),
    "blueprint": F("blueprint_id"),
    "bundle_type": F("bundle_type"),
    "region": F("region"),
    "cost_center": Coalesce("project__cost_center", Value("")),
    "running_mode": F("running_mode"),
}
"""What the dimensions of costs are of a machine that lives."""


class TooManyGroups(ValueError):
    """There are more groups than are kept in memory."""


class TooManyParts(ValueError):
    """There are more parts, of intervals and groups, than are reckoned for one answer."""


class _Piece(NamedTuple):
    """The part of what lies ahead that falls into one interval; `key` is the interval's first day."""

    key: date | None
    begins: datetime
    ends: datetime


def outlook(
    *,
    costs: QuerySet[Any],
    machines: QuerySet[WorkSpace],
    organization: Organization,
    start: date,
    since: datetime,
    until: date,
    now: datetime,
    by: Sequence[str] = (),
    interval: str | None = None,
    most_groups: int,
    most_parts: int,
) -> list[dict[str, Any]]:
    """What each group and interval of the UTC days [start, until) comes to, in the order of time, the dearest first.

    A row has its dimensions, period_start (an interval's first day), spent, fees_to_come, running_to_come and
    total_cost; what comes to nothing is left out. One of `by` and `interval` is there, and all is booked up to `since`.
    Raises TooManyGroups; and TooManyParts, without reckoning them where what lies ahead alone has so many.
    """
    columns = [F(reports.DIMENSIONS[name].column) for name in by]
    of_machines = [MACHINE_COLUMNS[name] for name in by]
    live = machines.filter(state__in=LIVE_STATES)
    paced = costs.filter(day__gte=min(start, now.astimezone(UTC).date() - timedelta(days=PACE_DAYS)))
    pieces = _pieces(since, datetime.combine(until, time(), UTC), interval)
    for rows, keys in ((paced, columns), (live, of_machines)):
        groups = len(rows.values_list(*keys).order_by().distinct()[: most_groups + 1]) if by else 1
        if groups > most_groups:
            raise TooManyGroups(f"There are more than {most_groups} of them.")
        _refuse(groups * len(pieces), most_parts)
    spent = _spent(reports.between(costs, start, until), columns, interval)
    fees = fees_by(
        live, organization=organization, cuts=[pieces[0].begins, *(one.ends for one in pieces)], now=now, by=of_machines
    )
    paces = paces_by(costs, organization=organization, now=now, by=columns)
    running = {
        (group, nr): running_cost(pace, piece.begins, piece.ends)
        for group, pace in paces.items()
        for nr, piece in enumerate(pieces)
    }
    ahead: dict[tuple[date | None, Group], dict[str, Any]] = defaultdict(lambda: dict.fromkeys(_PARTS, Fraction()))
    for (key, group), amount in spent.items():
        ahead[key, group]["spent"] += Fraction(amount)
    for (group, nr), amount in fees.items():
        ahead[pieces[nr].key, group]["fees_to_come"] += Fraction(amount)
    for (group, nr), cost in running.items():
        ahead[pieces[nr].key, group]["running_to_come"] += cost
    parts = _rounded(ahead)
    _refuse(len(parts), most_parts)
    return _named(costs, by, parts)


def _refuse(parts: int, most: int) -> None:
    if parts > most:
        raise TooManyParts(f"That is more than {most} figures.")


_PARTS = ("spent", "fees_to_come", "running_to_come")


def _pieces(since: datetime, end: datetime, interval: str | None) -> list[_Piece]:
    """[since, end) by interval; the first begins where all is booked up to."""
    if interval is None:
        return [_Piece(None, since, end)]
    firsts = [reports.interval_of(interval, since.astimezone(UTC).date())]
    while (following := reports.following(interval, firsts[-1])) < end.date():
        firsts.append(following)
    cuts = [since, *(datetime.combine(day, time(), UTC) for day in firsts[1:]), end]
    return [_Piece(key, *cut) for key, cut in zip(firsts, pairwise(cuts), strict=True)]


def _spent(
    costs: QuerySet[Any], columns: Sequence[F], interval: str | None
) -> dict[tuple[date | None, Group], Decimal]:
    at = [] if interval is None else [reports.STARTS[interval]]
    rows = costs.values_list(*at, *columns).annotate(sum=Sum("total_cost")).order_by()
    if interval is None:
        return {(None, tuple(group)): amount for *group, amount in rows if amount is not None}
    return {(key, tuple(group)): amount for key, *group, amount in rows}


def _rounded(ahead: Mapping[tuple[date | None, Group], Mapping[str, Fraction]]) -> list[dict[str, Any]]:
    """Rows in the order in which they are shown, to the millionth."""
    order = sorted(ahead, key=lambda one: (one[0] or date.min, -sum(ahead[one].values()), str(one[1])))
    exact, shown = dict.fromkeys(_PARTS, Fraction()), dict.fromkeys(_PARTS, Decimal(0))
    rows = []
    for key, group in order:
        row: dict[str, Any] = {"period_start": key, "group": group}
        for name in _PARTS:
            exact[name] += ahead[key, group][name]
            row[name] = millionths(exact[name]) - shown[name]
            shown[name] += row[name]
        row["total_cost"] = sum((row[name] for name in _PARTS), Decimal(0))
        if row["total_cost"]:
            rows.append(row)
    return rows


def _named(costs: QuerySet[Any], by: Sequence[str], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row.update(zip(by, row.pop("group"), strict=True))
    reports.put_names(costs.model, by, rows)
    return rows
