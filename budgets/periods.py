"""Periods of budgets: half-open, bounded by whole UTC hours; a month is a UTC month."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from forge.db.months import add_months

MONTHS = {"MONTHLY": 1, "QUARTERLY": 3}
CUSTOM = "CUSTOM"
"""Recurs with the length that it has, however the calendar lies."""
SHORTEST_CUSTOM_HOURS = 24


def is_whole_hour(at: datetime) -> bool:
    """True when a UTC hour begins at `at`."""
    utc = at.astimezone(UTC)
    return (utc.minute, utc.second, utc.microsecond) == (0, 0, 0)


def is_month_start(at: datetime) -> bool:
    """True when a UTC month begins at `at`."""
    utc = at.astimezone(UTC)
    return is_whole_hour(at) and (utc.day, utc.hour) == (1, 0)


def months_later(at: datetime, count: int) -> datetime:
    """The start of the UTC month `count` months after the one that begins at `at`."""
    return datetime.combine(add_months(at.astimezone(UTC).date(), count), time(), tzinfo=UTC)


def next_end(period_end: datetime, recurs: str, hours: int | None) -> datetime:
    """When the period after the one that ends at `period_end` ends; `hours` is the length of a CUSTOM one."""
    if recurs == CUSTOM and hours is not None:
        return period_end + timedelta(hours=hours)
    return months_later(period_end, MONTHS[recurs])


def hours_of(start: datetime, end: datetime) -> int:
    """The length of a period, which is of whole hours."""
    return (end - start) // timedelta(hours=1)
