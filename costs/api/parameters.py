"""Query parameters of the cost endpoints that are no filters: ranges of time and what to group by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from django.utils.dateparse import parse_date, parse_datetime
from rest_framework.request import Request

from costs.reports import DAY, DIMENSIONS, HOUR, INTERVALS, INTERVALS_AHEAD
from forge.api.errors import parameter_error
from forge.api.filters import InvalidParameter
from forge.db.months import add_months

TAG_PREFIX = "tag:"
LONGEST_RECORDS = timedelta(days=31)


LONGEST_HOURS_DAYS = 31
"""What is read by hour comes from the records: so many days at a time."""


def interval_of(request: Request) -> str:
    """The word of `?interval=`, a day without it."""
    return _interval(request, INTERVALS) or DAY


def interval_ahead(request: Request) -> str | None:
    """The word of `?interval=` for what is ahead."""
    return _interval(request, INTERVALS_AHEAD)


def _interval(request: Request, known: Sequence[str]) -> str | None:
    interval = request.query_params.get("interval")
    if interval is not None and interval not in known:
        raise invalid("interval", f"{interval[:40]!r} is none of: {', '.join(known)}.", known=known)
    return interval


def days_of(request: Request, *, now: datetime, interval: str = DAY, most: int | None = None) -> tuple[date, date]:
    """The UTC days [start, end) of `?start=` and `?end=`, at most `most`; without them the month up to today."""
    today = now.astimezone(UTC).date()
    end = _day(request, "end") or today + timedelta(days=1)
    start = _day(request, "start") or (end - timedelta(days=1)).replace(day=1)
    if start >= end:
        raise invalid("end", f"The first day after the range; it lies after start, {start}.")
    if most is not None and (end - start).days > most:
        raise invalid("start", f"A range has at most {most} days; this one has {(end - start).days}.")
    if interval == HOUR and (end - start).days > LONGEST_HOURS_DAYS:
        raise invalid(
            "start", f"By hour a range has at most {LONGEST_HOURS_DAYS} days; this one has {(end - start).days}."
        )
    return start, end


def period_ahead(request: Request, *, now: datetime, most: int) -> tuple[date, date]:
    """The UTC days [start, end) of a period that has begun and is not over: without parameters the running month."""
    today = now.astimezone(UTC).date()
    start = _day(request, "start") or today.replace(day=1)
    end = _day(request, "end") or add_months(today.replace(day=1), 1)
    if start > today:
        raise invalid("start", f"Today or before; today is {today}.")
    if not today < end <= today + timedelta(days=most):
        raise invalid("end", f"After today, {today}, and at most {most} days from it.")
    return start, end


def hours_of(request: Request, *, now: datetime) -> tuple[datetime, datetime]:
    """The instants [first, last) of `?period_start__gte=` and `?period_start__lt=`, at most 31 days apart.

    Without one of them, 31 days from the other; without both, the last 31 days.
    """
    first, last = _instant(request, "period_start__gte"), _instant(request, "period_start__lt")
    try:
        if first is None:
            last = last or now
            first = last - LONGEST_RECORDS
        last = last or first + LONGEST_RECORDS
    except OverflowError:
        raise invalid("period_start__gte", "Out of range.") from None
    if first >= last:
        raise invalid("period_start__lt", "It lies after period_start__gte.")
    if last - first > LONGEST_RECORDS:
        raise invalid("period_start__gte", "Records are shown for at most 31 days at a time.")
    return first, last


def group_by_of(request: Request, *, most: int = 2, with_tags: bool = True) -> list[str]:
    """The words of `?group_by=a,b`, at most `most` of them, each a dimension of costs; or `tag:KEY` alone."""
    text = request.query_params.get("group_by")
    if text is None:
        return []
    words = text.split(",")
    if with_tags and len(words) == 1 and words[0].startswith(TAG_PREFIX):
        return words
    if unknown := [word for word in words if word not in DIMENSIONS]:
        raise invalid("group_by", f"{unknown[0][:40]!r} is none of: {', '.join(DIMENSIONS)}.", known=list(DIMENSIONS))
    if len(words) > most or len(set(words)) < len(words):
        raise invalid("group_by", f"At most {most}, each once.")
    return words


def invalid(parameter: str, message: str, *, known: Sequence[str] = ()) -> InvalidParameter:
    """The 400 that names the parameter."""
    extra = {"known": list(known)} if known else {}
    return InvalidParameter(f"{parameter}: {message}", errors=[parameter_error(parameter, message)], extra=extra)


def _day(request: Request, name: str) -> date | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 9000:
        raise invalid(name, "A day from 2000-01-01 to 9000-12-31, such as 2026-03-01.")
    return day


def _instant(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year <= 9000:
        raise invalid(name, "An instant of the years 2000 to 9000, such as 2026-03-01T00:00:00Z.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
