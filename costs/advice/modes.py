"""The arithmetic of the two running modes: break-even, expected cost, the best day for a switch. No database, no clock.

A month without a name has 730 hours (8,760 / 12), which is how AWS reckons monthly prices; one with a name has its own.
docs/advice.md has the rules, docs/money.md what a switch costs. Amounts are Decimals of at most 6 places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from costs.pricing import HOUR, MILLIONTH, accruals, hour_up, month_of

HOURS_OF_MONTH = Decimal(730)
DAYS_OF_MONTH = HOURS_OF_MONTH / 24
WEEK = 7
P90 = Decimal("1.2815515655")
"""The 90th percentile of the standard normal distribution; the 10th is the same below 0."""

DAY = timedelta(days=1)


class Confidence(StrEnum):
    """How much an advice can be relied on."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


@dataclass(frozen=True)
class Rates:
    """What a machine costs in one running mode: the fees of a month, storage with them, and a started hour."""

    monthly: Decimal
    hourly: Decimal = Decimal(0)

    def month(self, hours: Decimal) -> Decimal:
        """A month with so many started hours."""
        return (self.monthly + self.hourly * hours).quantize(MILLIONTH)


@dataclass(frozen=True)
class Hours:
    """The started hours of a month, foreseen from `days` observed ones."""

    days: int
    mean: Decimal
    p10: Decimal
    p90: Decimal

    @property
    def p50(self) -> Decimal:
        """The median of a sum of many independent days is its mean."""
        return self.mean


def break_even_hours(auto_stop: Rates, always_on: Rates) -> Decimal | None:
    """Started hours of a month from which AlwaysOn costs no more than AutoStop, to 6 places; None = at no number."""
    if auto_stop.hourly <= 0:
        return None if always_on.monthly > auto_stop.monthly else Decimal(0)
    return max(Decimal(0), (always_on.monthly - auto_stop.monthly) / auto_stop.hourly).quantize(MILLIONTH)


def foreseen(by_day: Mapping[date, Decimal]) -> Hours | None:
    """The hours of a month of 730 hours, if its days are like the observed ones; None when none was observed.

    Each weekday stands for itself: its mean and its variance over the days observed, times the 4.345 of it that a
    month has, summed; days of a weekday that was never observed count like an average day. p10 and p90 are those of
    the normal distribution with that mean and variance: what drawing the days again and again (a bootstrap) comes to
    for a sum of thirty of them, without a million machines being drawn two hundred times each.
    """
    if not by_day:
        return None
    everything = list(by_day.values())
    each = DAYS_OF_MONTH / WEEK
    mean = variance = Decimal(0)
    for weekday in range(WEEK):
        own = [hours for day, hours in by_day.items() if day.weekday() == weekday] or everything
        mean += each * _mean(own)
        variance += each * _variance(own)
    spread = P90 * variance.sqrt()
    return Hours(len(by_day), _hours(mean), _hours(mean - spread), _hours(mean + spread))


def confidence(hours: Hours, break_even: Decimal, *, full: int) -> Confidence:
    """HIGH: most of `full` days observed, and p10 and p90 on one side of break-even; MEDIUM: half of them; else LOW."""
    is_clear = hours.p90 < break_even or hours.p10 > break_even
    if hours.days * 4 >= full * 3 and is_clear:
        return Confidence.HIGH
    return Confidence.MEDIUM if hours.days * 2 >= full else Confidence.LOW


def daily(by_day: Mapping[date, Decimal]) -> tuple[Decimal, ...]:
    """The mean hours of a Monday, a Tuesday …; of a weekday that was not observed those of all days."""
    everything = list(by_day.values())
    each = [[hours for day, hours in by_day.items() if day.weekday() == weekday] for weekday in range(WEEK)]
    return tuple(_mean(own or everything).quantize(MILLIONTH) for own in each)


# -- The day of a switch ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Switch:
    """When to switch: `at` is the first of the instants that cost least, `until` the last; `cost` from now to `end`."""

    at: datetime
    until: datetime
    cost: Decimal
    end: datetime


def switch_instants(now: datetime) -> list[datetime]:
    """When a switch may be made: with the next hour, at each later midnight, at last with the next month."""
    first, last = hour_up(now), month_of(now)[1]
    midnights = (datetime.combine(first.date(), time(0), tzinfo=UTC) + DAY * n for n in range(1, 32))
    return [first, *(at for at in midnights if at <= last)] if first < last else [last]


def cost_of_switch(
    *, to_always_on: bool, at: datetime, now: datetime, auto_stop: Rates, always_on: Rates, hours: Sequence[Decimal]
) -> Decimal:
    """What the hours from the next one to the end of the next month cost with a switch `at`, by docs/money.md.

    `hours` are the started hours of each weekday, spread evenly over its day. AlwaysOn is paid to the end of the
    month whatever comes; who comes from AutoStop pays both fees to the end of that month.
    """
    first, month_end = hour_up(now), month_of(now)[1]
    end = month_of(month_end)[1]
    if not to_always_on:
        paid = accruals(always_on.monthly, first, month_end) + accruals(auto_stop.monthly, month_end, end)
        return paid + auto_stop.hourly * started(hours, month_end, end)
    both_until = at if month_of(at)[0] == at else month_of(at)[1]
    paid = accruals(auto_stop.monthly, first, both_until) + accruals(always_on.monthly, at, end)
    return paid + auto_stop.hourly * started(hours, first, at)


def best_switch(
    *, to_always_on: bool, now: datetime, auto_stop: Rates, always_on: Rates, hours: Sequence[Decimal]
) -> Switch:
    """The instant from which a switch costs least; of several the first, and the last of those beside it."""
    known: dict[str, Any] = {"now": now, "auto_stop": auto_stop, "always_on": always_on, "hours": hours}
    costs = {at: cost_of_switch(to_always_on=to_always_on, at=at, **known) for at in switch_instants(now)}
    least = min(costs.values())
    cheapest = [at for at, cost in costs.items() if cost == least]
    return Switch(cheapest[0], cheapest[-1], least.quantize(MILLIONTH), month_of(month_of(now)[1])[1])


def started(hours: Sequence[Decimal], first: datetime, end: datetime) -> Decimal:
    """The hours of each weekday that lie in [first, end), both starts of hours; a day's are spread evenly over it."""
    total, at = Decimal(0), first
    while at < end:
        until = min(end, datetime.combine(at.date(), time(0), tzinfo=UTC) + DAY)
        total += hours[at.weekday()] * ((until - at) // HOUR)
        at = until
    return total / 24


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _variance(values: Sequence[Decimal]) -> Decimal:
    """Of a sample; of a single day that of a day which may as well be without use or twice as long."""
    mean = _mean(values)
    if len(values) == 1:
        return mean * mean
    return sum(((value - mean) ** 2 for value in values), Decimal(0)) / (len(values) - 1)


def _hours(value: Decimal) -> Decimal:
    return min(HOURS_OF_MONTH, max(Decimal(0), value)).quantize(MILLIONTH)
