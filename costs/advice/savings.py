"""What an accepted advice has saved: what the hours since would have cost before it, less what was booked for them.

No database, no clock. A stretch of hours lies within one month and one price of the earlier configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from costs.advice.modes import Rates
from costs.pricing import MILLIONTH, accruals, hour_of, hour_up, month_of

LONGEST = timedelta(days=365)
"""Savings are reckoned for a year at most: nobody knows what would have become of a machine for longer."""

LONGEST_STOP = 24
"""Started hours that the stop of an unattended machine has saved, at most: so long it had run unattended before."""


@dataclass(frozen=True)
class Stretch:
    """Hours [first, end) with what was booked for them; `rates` are those before the advice.

    `transfer` is part of `booked` and would have been the same.
    """

    first: datetime
    end: datetime
    rates: Rates
    hours: Decimal
    booked: Decimal = Decimal(0)
    transfer: Decimal = Decimal(0)


@dataclass(frozen=True)
class Realised:
    """What a month's hours would have cost, and what was booked for them."""

    would_have_cost: Decimal
    booked: Decimal

    @property
    def saved(self) -> Decimal:
        return self.would_have_cost - self.booked


def realised(stretches: Iterable[Stretch]) -> Realised:
    """The sum over some stretches: fees as they would have accrued, started hours at the earlier price."""
    would, booked = Decimal(0), Decimal(0)
    for one in stretches:
        fees = accruals(one.rates.monthly, one.first, one.end)
        would += (fees + one.rates.hourly * one.hours + one.transfer).quantize(MILLIONTH)
        booked += one.booked
    return Realised(would, booked)


def counted_from(action: str, effective_at: datetime) -> datetime:
    """The first hour in which a change saves: the one after it; a machine that ended owes its month, so the next's."""
    if action == "TERMINATE":
        month, following = month_of(effective_at)
        return month if month == effective_at else following
    return hour_up(effective_at)


def counted_until(effective_at: datetime, ends: Sequence[datetime | None], now: datetime) -> tuple[datetime, bool]:
    """Up to which hour savings are reckoned now, and whether that is for good: the earliest of `ends`, or a year."""
    last = min(end for end in (*ends, effective_at + LONGEST) if end is not None)
    reached = hour_of(now)
    return (hour_of(last), True) if hour_of(last) <= reached else (reached, False)


def months_of(first: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """[first, end) cut at the turns of months."""
    pieces = []
    while first < end:
        until = min(end, month_of(first)[1])
        pieces.append((first, until))
        first = until
    return pieces
