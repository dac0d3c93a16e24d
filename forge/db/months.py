"""Calendar months in UTC, as the first day of each: `now + 30 days` skips February, so nothing here counts days."""

from collections.abc import Iterator
from datetime import UTC, date, datetime


def month_of(day: date) -> date:
    """The first day of the month that holds `day`: a date, or an aware datetime (its month in UTC)."""
    if isinstance(day, datetime):
        day = day.astimezone(UTC).date()
    return day.replace(day=1)


def add_months(month: date, count: int) -> date:
    """The first day of the month `count` months after that of `month`; `count` may be negative."""
    years, index = divmod(month.month - 1 + count, 12)
    return date(month.year + years, index + 1, 1)


def months(first: date, last: date) -> Iterator[date]:
    """The first day of every month from that of `first` to that of `last`, both included; none if reversed."""
    month, end = month_of(first), month_of(last)
    while month <= end:
        yield month
        month = add_months(month, 1)
