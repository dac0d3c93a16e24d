"""What costs will come to by the end of a period: what is spent, the fees still to come, and running at its pace.

- fees: the monthly fees of the live machines, for the hours that are not booked yet, to the period's end or as
  long as the machine lives (WorkSpace.lives_until); of one that is ending the rest of the month's, due at its end;
- running: each day that is left at what a day of its weekday has cost in the last four weeks: started hours, at the
  prices of today. A weekday that none of these days was takes their mean; a scope that began today its pace by hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

from django.db import connection
from django.db.models import Case, Count, DateTimeField, Expression, F, Func, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Least

from blueprints.models import Blueprint, OperatingSystem
from costs.dues import Kind, LivesUntil, Modes, dues_of, kinds_of
from costs.models import Price
from costs.pricing import HOUR, MILLIONTH, hour_up, month_of
from forge.accounts.models import Organization
from workspaces.lifecycle import LIVE_STATES, State
from workspaces.models import WorkSpace

PACE_DAYS = 28
WEEKDAYS = range(1, 8)
"""As ISO 8601 has them: 1 is Monday."""
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_NOTHING = Decimal(0)

METHOD = (
    "What is spent, the fees still to come of the machines that live, and for each day left what a day of its weekday "
    f"has cost in started hours over the last {PACE_DAYS} days, at the prices of today."
)

_PRICES = """
    SELECT kind.nr, price.id
      FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
           AS kind (service_type, region, bundle_type, operating_system, running_mode, nr)
     CROSS JOIN LATERAL costs_price_at(
         %s, kind.service_type, kind.region, kind.bundle_type, kind.operating_system, kind.running_mode, %s,
         costs_hour_of(%s)
     ) price
"""


Group = tuple[Any, ...]
"""What costs and machines are grouped by: a value for each expression of `by`."""


class _BoundHour(Func):
    """The end of the UTC hour in which an instant lies, or the instant where an hour begins with it."""

    template = "costs_hour_of(%(expressions)s + interval '1 hour' - interval '1 microsecond')"
    output_field = DateTimeField()


@dataclass(frozen=True)
class Forecast:
    """What lies ahead, from the instant to which everything is booked; `pace` is money per ISO weekday (1 = Monday)."""

    fees: Decimal
    running: Decimal
    pace: Mapping[int, Decimal]
    machines: int


def forecast(
    *,
    costs: QuerySet[Any],
    machines: QuerySet[WorkSpace],
    organization: Organization,
    since: datetime,
    until: date,
    now: datetime,
) -> Forecast:
    """What lies ahead from `since`, to which all is booked, to the start of the UTC day `until`."""
    end = datetime.combine(until, time(), UTC)
    live = machines.filter(state__in=LIVE_STATES)
    paces = paces_by(costs, organization=organization, now=now)
    pace = paces.get((), {})
    return Forecast(
        fees=fees_ahead(live, organization=organization, since=since, until=end, now=now),
        running=millionths(running_cost(pace, since, end)),
        pace={weekday: millionths(pace.get(weekday, Fraction())) for weekday in WEEKDAYS},
        machines=live.count(),
    )


def fees_ahead(
    machines: QuerySet[WorkSpace], *, organization: Organization, since: datetime, until: datetime, now: datetime
) -> Decimal:
    """The fees of the hours that begin from `since` to `until`, or as long as a machine lives, at today's prices."""
    fees = fees_by(machines, organization=organization, cuts=(since, until), now=now)
    return sum(fees.values(), _NOTHING)


def fees_by(
    machines: QuerySet[WorkSpace],
    *,
    organization: Organization,
    cuts: Sequence[datetime],
    now: datetime,
    by: Sequence[Expression | F] = (),
) -> dict[tuple[Group, int], Decimal]:
    """The fees of the hours that begin between each two neighbours of `cuts`, by group and number of the first.

    As metering will charge them, so by the modes of the month (costs.dues), and as long as a machine lives. One that is
    TERMINATING owes the month's at its end, so at once, and nothing where it was never launched. Reckoned once for all
    machines of one kind and group that are bound by the same hour; nothing where no price is known, since then nothing
    can be metered either.
    """
    is_ending = Q(state=State.TERMINATING)
    lives = _BoundHour(Least(Value(cuts[-1], output_field=DateTimeField()), LivesUntil(now)))
    rows = machines.exclude(is_ending, launched_at=None).values_list(
        "service_type", "region", "bundle_type", "operating_system", "running_mode",
        F("root_volume_gb") + F("user_volume_gb"), Modes(now),
        Case(When(is_ending, then=None), default=lives), *by,
    ).annotate(count=Count("id")).order_by()  # fmt: skip
    found = list(rows)
    prices = prices_of(
        [kind for row in found for kind in kinds_of(row[:5], row[6])], organization=organization, now=now
    )
    fees: dict[tuple[Group, int], Decimal] = defaultdict(Decimal)
    whole = cache(lambda dues, first, end: dues.fees_between(first, end))  # most machines live through every piece
    for service_type, region, bundle_type, system, mode, storage_gb, modes, bound, *group, count in found:
        kind = (service_type, region, bundle_type, system, mode)
        dues = dues_of(kind, modes, storage_gb, prices, now=now)
        if dues is None:
            continue
        if bound is None:
            fees[tuple(group), 0] += dues.fees_between(hour_up(cuts[0]), month_of(now)[1]) * count
            continue
        for nr, (first, end) in enumerate(pairwise(cuts)):
            if first < min(end, bound):
                fees[tuple(group), nr] += whole(dues, hour_up(first), min(hour_up(end), bound)) * count
    return fees


def running_by_day(
    costs: QuerySet[Any], *, organization: Organization, first: date, last: date, now: datetime
) -> dict[date, Decimal]:
    """What the started hours of the UTC days from `first` to `last` would cost today; days without costs are not there.

    Machines of Applications have no blueprint and so no operating system here: the dearest price stands for them.
    """
    found: dict[date, Decimal] = {}
    for _, day, cost in _running(costs, organization=organization, first=first, last=last, now=now):
        found[day] = found.get(day, _NOTHING) + cost
    return found


def paces_by(
    costs: QuerySet[Any], *, organization: Organization, now: datetime, by: Sequence[Expression | F] = ()
) -> dict[Group, dict[int, Fraction]]:
    """What running costs on a day of each ISO weekday, by group; exact, and the groups come to the whole.

    So days count from the first on which any group had costs.
    """
    today = now.astimezone(UTC).date()
    so_far: dict[Group, Fraction] = defaultdict(Fraction)
    days: dict[Group, dict[int, Fraction]] = defaultdict(lambda: dict.fromkeys(WEEKDAYS, Fraction()))
    first = today
    for group, day, cost in _running(
        costs, organization=organization, first=today - PACE_DAYS * _DAY, last=today, now=now, by=by
    ):
        if day == today:
            so_far[group] += Fraction(cost)
        else:
            days[group][day.isoweekday()] += Fraction(cost)
            first = min(first, day)
    if first == today:
        elapsed = max(now - datetime.combine(today, time(), UTC), HOUR)
        whole_day = Fraction(_DAY // _SECOND, elapsed // _SECOND)
        return {group: dict.fromkeys(WEEKDAYS, cost * whole_day) for group, cost in so_far.items()}
    known = [(first + n * _DAY).isoweekday() for n in range((today - first).days)]
    return {
        group: {
            weekday: cost / known.count(weekday) if weekday in known else sum(costs.values(), Fraction()) / len(known)
            for weekday, cost in costs.items()
        }
        for group, costs in days.items()
    }


def running_cost(pace: Mapping[int, Fraction], since: datetime, end: datetime) -> Fraction:
    """The pace of each day of [since, end); a day that has begun counts by what is left of it."""
    cost = Fraction()
    at = since.astimezone(UTC)
    while at < end:
        next_day = datetime.combine(at.date() + _DAY, time(), UTC)
        cost += pace.get(at.isoweekday(), 0) * Fraction((next_day - at) // _SECOND, _DAY // _SECOND)
        at = next_day
    return cost


def millionths(amount: Fraction) -> Decimal:
    """Rounded half up to six places."""
    return (Decimal(amount.numerator) / amount.denominator).quantize(MILLIONTH, ROUND_HALF_UP)


def prices_of(kinds: Iterable[Kind], *, organization: Organization, now: datetime) -> dict[Kind, Price]:
    """The price by which each kind of machine is booked now; a kind of which none is known is not there."""
    wanted = sorted(set(kinds))
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        columns = [list(column) for column in zip(*wanted, strict=True)]
        cursor.execute(_PRICES, [*columns, organization.pk, organization.currency, now])
        ids = {wanted[nr - 1]: price_id for nr, price_id in cursor.fetchall()}
    prices = Price.objects.in_bulk(list(set(ids.values())))
    return {kind: prices[price_id] for kind, price_id in ids.items()}


def _kinds(facts: tuple[Any, ...], systems: Mapping[Any, str]) -> list[Kind]:
    region, bundle_type, running_mode, blueprint = facts
    if blueprint in systems:
        return [(WorkSpace.ServiceType.PERSONAL, region, bundle_type, systems[blueprint], running_mode)]
    applications = WorkSpace.ServiceType.APPLICATIONS
    return [(applications, region, bundle_type, system, running_mode) for system in OperatingSystem.values]


def _running(
    costs: QuerySet[Any],
    *,
    organization: Organization,
    first: date,
    last: date,
    now: datetime,
    by: Sequence[Expression | F] = (),
) -> Iterator[tuple[Group, date, Decimal]]:
    """Group, UTC day and what its started hours would cost today; a group's day may come several times."""
    kinds = ("day", "region", "bundle_type", "running_mode", "blueprint_id")
    days = costs.filter(day__gte=first, day__lte=last).values_list(*kinds, *by).annotate(hours=Sum("billed_hours"))
    rows = list(days.order_by())
    blueprints = {row[4] for row in rows} - {None}
    systems = (
        dict(Blueprint.objects.filter(pk__in=blueprints).values_list("pk", "operating_system")) if blueprints else {}
    )
    asked = {row[1:5]: _kinds(row[1:5], systems) for row in rows}
    prices = prices_of([kind for some in asked.values() for kind in some], organization=organization, now=now)
    hourly = {
        facts: max((prices[kind].hourly_amount for kind in some if kind in prices), default=_NOTHING)
        for facts, some in asked.items()
    }
    for day, *facts, hours in rows:
        yield tuple(facts[4:]), day, hours * hourly[tuple(facts[:4])]
