"""The arithmetic of money: started hours, the accrual of monthly fees, reservations. No database, no clock.

Instants are aware datetimes, amounts Decimals of at most 6 places, hours the instants at which UTC hours begin. The
SQL of migration 0002 reckons the same; tests hold both against the worked examples. docs/money.md has the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

HOUR = timedelta(hours=1)
MILLIONTH = Decimal("0.000001")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Interval:
    """A stretch of running, [start, end); end None = it still runs."""

    start: datetime
    end: datetime | None = None


def hour_of(at: datetime) -> datetime:
    """The start of the UTC hour that holds `at`."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hour_up(at: datetime) -> datetime:
    """The first start of a UTC hour that is not before `at`."""
    hour = hour_of(at)
    return hour if hour == at else hour + HOUR


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """The UTC month that holds `at`, as [start, end)."""
    start = hour_of(at).replace(day=1, hour=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def hours_up(span: timedelta) -> int:
    """`span` in hours, rounded up; 0 when it is not positive."""
    return max(0, -(-span // HOUR))


# -- Started hours ---------------------------------------------------------------------------------------------------


def session_hours(intervals: Iterable[Interval], now: datetime) -> Iterator[datetime]:
    """The instants at which the session hours of one machine began before `now`, in order.

    The first hour begins with the interval, each next one an hour after the one before, as long as the machine runs
    beyond that instant. A start inside the last started hour (the stop tail) continues it: that hour is paid.
    Intervals are in order and do not overlap.
    """
    paid_until: datetime | None = None
    for interval in intervals:
        end = now if interval.end is None else min(interval.end, now)
        begins = interval.start if paid_until is None else max(interval.start, paid_until)
        while begins < end:
            yield begins
            begins += HOUR
            paid_until = begins


def billed_hours(intervals: Iterable[Interval], now: datetime) -> Counter[datetime]:
    """UTC hour → session hours that began in it before `now`, each charged whole to that hour."""
    return Counter(hour_of(begun) for begun in session_hours(intervals, now))


def running_seconds(intervals: Iterable[Interval], now: datetime) -> dict[datetime, Decimal]:
    """UTC hour → seconds in which the machine ran before `now`."""
    seconds: dict[datetime, Decimal] = {}
    for interval in intervals:
        end = now if interval.end is None else min(interval.end, now)
        at = interval.start
        while at < end:
            hour = hour_of(at)
            until = min(end, hour + HOUR)
            seconds[hour] = seconds.get(hour, Decimal(0)) + Decimal((until - at) // timedelta(microseconds=1)).scaleb(
                -6
            )
            at = until
    return seconds


# -- Monthly fees ----------------------------------------------------------------------------------------------------


def accrued(fee: Decimal, hour: datetime) -> Decimal:
    """What of a month's fee has accrued when `hour` begins: round(fee · n / N, 6) after n of the month's N hours."""
    start, end = month_of(hour)
    passed, total = (hour - start) // HOUR, (end - start) // HOUR
    millionths = int(fee.scaleb(6)) * passed
    return Decimal((2 * millionths + total) // (2 * total)).scaleb(-6)


def accruals(fee: Decimal, first: datetime, end: datetime) -> Decimal:
    """The sum of what the UTC hours that begin in [first, end) accrue; both are starts of hours."""
    total = Decimal(0)
    while first < end:
        after = month_of(first)[1]
        total += (fee if end >= after else accrued(fee, end)) - accrued(fee, first)
        first = after
    return total


def accrual(fee: Decimal, hour: datetime) -> Decimal:
    """What one UTC hour accrues; the hours of a month sum to the fee exactly."""
    return accruals(fee, hour, hour + HOUR)


def rest_of_month(fee: Decimal, hour: datetime) -> Decimal:
    """What the month of `hour` still owes after that hour: due when a machine ends in it."""
    return accruals(fee, hour + HOUR, month_of(hour)[1])


def fee_by_hour(
    fee: Decimal, first_available: datetime | None, terminated: datetime | None, now: datetime
) -> dict[datetime, Decimal]:
    """UTC hour → fee booked in it by `now`: the accrual of each hour of the stay, and the month's rest in its last."""
    ended = terminated is not None and terminated <= now
    until = terminated if ended and terminated is not None else now
    booked: dict[datetime, Decimal] = {}
    if first_available is None or first_available >= until:
        return booked
    hour = hour_of(first_available)
    while hour < until:
        booked[hour] = accrual(fee, hour)
        hour += HOUR
    if ended:
        booked[hour - HOUR] += rest_of_month(fee, hour - HOUR)
    return booked


# -- Foresight -------------------------------------------------------------------------------------------------------


def fees_of_stay(fee: Decimal, now: datetime, bound: datetime) -> Decimal:
    """The accruals of all UTC hours that overlap [now, bound)."""
    return accruals(fee, hour_of(now), hour_up(bound)) if now < bound else Decimal(0)


def fees_to_come(fee: Decimal, now: datetime, bound: datetime) -> Decimal:
    """The accruals of the hours up to `bound` that are not booked yet at `now`: those that begin at or after it."""
    return accruals(fee, hour_up(now), hour_up(bound)) if now < bound else Decimal(0)


def reserved_hours(now: datetime, bound: datetime, most: int) -> int:
    """Hours from `now` to `bound`, rounded up, at most `most`."""
    return min(most, hours_up(bound - now))


def storage_fee(gb: int, included_gb: int, per_gb_month: Decimal) -> Decimal:
    """The monthly fee of the storage beyond what the bundle includes."""
    return Decimal(max(0, gb - included_gb)) * per_gb_month


def cents(amount: Decimal) -> Decimal:
    """An amount as it is shown: rounded half up to cents. Never add rounded figures."""
    millionths = int(amount.scaleb(6))
    sign = -1 if millionths < 0 else 1
    return Decimal(sign * ((abs(millionths) + 5000) // 10000)).scaleb(-2)
