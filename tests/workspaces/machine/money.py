"""What a machine costs, reckoned from its history by the sentences of docs/money.md, in exact fractions.

Nothing here is read from the product, and no formula is shared with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.workspaces.machine.law import RUNNING

HOUR = timedelta(hours=1)
MILLION = 1_000_000


@dataclass(frozen=True)
class Terms:
    """A price: per month, per started hour, and per GB and month beyond what is included."""

    monthly: Decimal
    hourly: Decimal
    per_gb: Decimal
    included_gb: int


@dataclass(frozen=True)
class Kind:
    """What a machine is, as far as it costs."""

    bundle_type: str
    running_mode: str
    storage_gb: int


@dataclass(frozen=True)
class Life:
    """A machine's history: `states` as (since, state), `kinds` that have ended as (until, kind), and the last kind."""

    states: Sequence[tuple[datetime, str]]
    kinds: Sequence[tuple[datetime, Kind]]
    kind: Kind

    @property
    def launched_at(self) -> datetime | None:
        return next((at for at, state in self.states if state == "AVAILABLE"), None)

    @property
    def ended_at(self) -> datetime | None:
        return next((at for at, state in self.states if state == "TERMINATED"), None)

    def kind_at(self, at: datetime) -> Kind:
        return next((kind for until, kind in self.kinds if until > at), self.kind)


@dataclass(frozen=True)
class Booked:
    """One UTC hour of a machine; amounts in millionths. How long it ran is said once the hour is over."""

    billed_hours: int
    compute: int
    storage: int
    running_seconds: Decimal | None


def booked(life: Life, terms: Mapping[tuple[str, str], Terms], now: datetime) -> dict[datetime, Booked]:
    """UTC hour → what is booked in it at `now`."""
    first, ended = life.launched_at, life.ended_at
    until = min(now, ended or now)
    if first is None or first >= until:
        return {}
    begun = session_hours(running(life, until))
    seconds = seconds_of(running(life, until))
    found: dict[datetime, Booked] = {}
    hour = floor(first)
    while hour < until:
        is_last = ended is not None and ended <= now and hour + HOUR >= ended
        ran = seconds[hour] if hour + HOUR < now else None
        found[hour] = _hour(life, terms, hour, begun[hour], ran, is_last=is_last)
        hour += HOUR
    return found


def running(life: Life, until: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches [start, end) in which the machine ran, before `until`."""
    found: list[tuple[datetime, datetime]] = []
    ends = [at for at, _ in life.states[1:]] + [until]
    for (since, state), end in zip(life.states, ends, strict=True):
        end = min(end, until)
        if state not in RUNNING or since >= end:
            continue
        if found and found[-1][1] == since:
            found[-1] = (found[-1][0], end)
        else:
            found.append((since, end))
    return found


def session_hours(stretches: Sequence[tuple[datetime, datetime]]) -> defaultdict[datetime, int]:
    """UTC hour → started hours that begin in it: each 60 minutes after the one before, while the machine runs."""
    found: defaultdict[datetime, int] = defaultdict(int)
    paid_until: datetime | None = None
    for start, end in stretches:
        at = start if paid_until is None or start >= paid_until else paid_until
        while at < end:
            found[floor(at)] += 1
            paid_until = at = at + HOUR
    return found


def seconds_of(stretches: Sequence[tuple[datetime, datetime]]) -> defaultdict[datetime, Decimal]:
    found: defaultdict[datetime, Decimal] = defaultdict(Decimal)
    for start, end in stretches:
        while start < end:
            cut = min(end, floor(start) + HOUR)
            found[floor(start)] += Decimal((cut - start) // timedelta(microseconds=1)) / MILLION
            start = cut
    return found


def floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _hour(
    life: Life,
    terms: Mapping[tuple[str, str], Terms],
    hour: datetime,
    begun: int,
    seconds: Decimal | None,
    *,
    is_last: bool,
) -> Booked:
    kind = life.kind_at(hour)
    month = hour.replace(day=1, hour=0)
    from_here = max(month, floor(life.launched_at or hour))
    paid_for_the_month = any(one.running_mode == "ALWAYS_ON" and from_here < until <= hour for until, one in life.kinds)
    mode = "ALWAYS_ON" if paid_for_the_month else kind.running_mode
    price = terms[kind.bundle_type, mode]
    fees = [price.monthly]
    if mode == "ALWAYS_ON" and life.kind_at(from_here).running_mode == "AUTO_STOP":
        fees.append(terms[kind.bundle_type, "AUTO_STOP"].monthly)
    storage = max(0, kind.storage_gb - price.included_gb) * price.per_gb
    billed = begun if mode == "AUTO_STOP" else 0
    owed = _accrued_to_the_end if is_last else _accrued
    return Booked(
        billed_hours=billed,
        compute=billed * int(price.hourly * MILLION) + sum(owed(fee, hour) for fee in fees),
        storage=owed(storage, hour),
        running_seconds=seconds,
    )


def _accrued(fee: Decimal, hour: datetime) -> int:
    """What hour n of N of a month gets of a fee: round(fee·n/N, 6) less round(fee·(n-1)/N, 6)."""
    month, hours = _month(hour)
    n = (hour - month) // HOUR + 1
    return _millionths(Fraction(fee) * n / hours) - _millionths(Fraction(fee) * (n - 1) / hours)


def _accrued_to_the_end(fee: Decimal, hour: datetime) -> int:
    """The same for a machine's last hour, which also bears the rest of its month."""
    month, hours = _month(hour)
    n = (hour - month) // HOUR + 1
    return _millionths(Fraction(fee)) - _millionths(Fraction(fee) * (n - 1) / hours)


def _month(hour: datetime) -> tuple[datetime, int]:
    start = hour.replace(day=1, hour=0)
    after = (start + timedelta(days=32)).replace(day=1)
    return start, (after - start) // HOUR


def _millionths(amount: Fraction) -> int:
    """Rounded half up."""
    return int(amount * MILLION + Fraction(1, 2))
