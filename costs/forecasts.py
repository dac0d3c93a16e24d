"""What costs will come to by the end of a period: what is spent, the fees still to come, and running at its pace.

- fees: the monthly fees of the live machines, for the hours that are not booked yet, to the period's end or as
  long as the machine lives (WorkSpace.lives_until); of one that is ending the rest of the month's, due at its end;
- running: each day that is left at what a day of its weekday has cost in the last four weeks: started hours, at the
  prices of today. A weekday that none of these days was takes their mean; a scope that began today its pace by hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import connection
from django.db.models import Case, Count, DateTimeField, F, Func, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Least

from blueprints.models import Blueprint, OperatingSystem
from costs.dues import Kind, LivesUntil, Modes, dues_of, kinds_of
from costs.models import Price
from costs.pricing import HOUR, MILLIONTH, hour_up, month_of
from forge.accounts.models import Organization
from workspaces.lifecycle import LIVE_STATES, State
from workspaces.models import WorkSpace

PACE_DAYS = 28
_DAY = timedelta(days=1)
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
    fees = fees_ahead(live, organization=organization, since=since, until=end, now=now)
    pace = _pace(costs, organization, now)
    return Forecast(
        fees=fees,
        running=_running(pace, since, end).quantize(MILLIONTH, ROUND_HALF_UP),
        pace={weekday: amount.quantize(MILLIONTH, ROUND_HALF_UP) for weekday, amount in pace.items()},
        machines=live.count(),
    )


def fees_ahead(
    machines: QuerySet[WorkSpace], *, organization: Organization, since: datetime, until: datetime, now: datetime
) -> Decimal:
    """The fees of the hours that begin from `since` to `until`, or as long as a machine lives, at today's prices.

    As metering will charge them, so by the modes of the month (costs.dues). One that is TERMINATING owes the month's
    at its end, and nothing where it was never launched. Reckoned once for all machines of one kind that are bound by
    the same hour; nothing where no price is known, since then nothing can be metered either.
    """
    is_ending = Q(state=State.TERMINATING)
    lives = _BoundHour(Least(_at(until), LivesUntil(now)))
    rows = machines.exclude(is_ending, launched_at=None).values_list(
        "service_type", "region", "bundle_type", "operating_system", "running_mode",
        F("root_volume_gb") + F("user_volume_gb"), Modes(now),
        Case(When(is_ending, then=_at(month_of(now)[1])), default=lives),
    ).annotate(count=Count("id")).order_by()  # fmt: skip
    found = list(rows)
    prices = prices_of(
        [kind for row in found for kind in kinds_of(row[:5], row[6])], organization=organization, now=now
    )
    fees = _NOTHING
    for *kind, storage_gb, modes, bound, count in found:
        dues = dues_of((kind[0], kind[1], kind[2], kind[3], kind[4]), modes, storage_gb, prices, now=now)
        if dues is not None and since < bound:
            fees += dues.fees_between(hour_up(since), bound) * count
    return fees


def _at(instant: datetime) -> Value:
    return Value(instant, output_field=DateTimeField())


def running_by_day(
    costs: QuerySet[Any], *, organization: Organization, first: date, last: date, now: datetime
) -> dict[date, Decimal]:
    """What the started hours of the UTC days from `first` to `last` would cost today; days without costs are not there.

    Machines of Applications have no blueprint and so no operating system here: the dearest price stands for them.
    """
    kinds = ("day", "region", "bundle_type", "running_mode", "blueprint_id")
    days = (
        costs.filter(day__gte=first, day__lte=last).values_list(*kinds).annotate(hours=Sum("billed_hours")).order_by()
    )
    rows = list(days)
    blueprints = {row[4] for row in rows} - {None}
    systems = (
        dict(Blueprint.objects.filter(pk__in=blueprints).values_list("pk", "operating_system")) if blueprints else {}
    )
    asked = {row[1:5]: _kinds(row[1:5], systems) for row in rows}
    prices = prices_of([kind for some in asked.values() for kind in some], organization=organization, now=now)
    found: dict[date, Decimal] = {}
    for day, *kind, hours in rows:
        known = [prices[one].hourly_amount for one in asked[tuple(kind)] if one in prices]
        found[day] = found.get(day, _NOTHING) + hours * max(known, default=_NOTHING)
    return found


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


def _pace(costs: QuerySet[Any], organization: Organization, now: datetime) -> dict[int, Decimal]:
    """What running costs on a day of each ISO weekday."""
    today = now.astimezone(UTC).date()
    by_day = running_by_day(costs, organization=organization, first=today - PACE_DAYS * _DAY, last=today, now=now)
    so_far = by_day.pop(today, _NOTHING)
    if not by_day:
        elapsed = max(now - datetime.combine(today, time(), UTC), HOUR)
        return dict.fromkeys(range(1, 8), so_far * 24 * 3600 / int(elapsed.total_seconds()))
    first = min(by_day)
    days = [first + n * _DAY for n in range((today - first).days)]
    mean = _mean([by_day.get(day, _NOTHING) for day in days])
    weekdays = {
        weekday: [by_day.get(day, _NOTHING) for day in days if day.isoweekday() == weekday] for weekday in range(1, 8)
    }
    return {weekday: _mean(amounts) if amounts else mean for weekday, amounts in weekdays.items()}


def _mean(amounts: Sequence[Decimal]) -> Decimal:
    return sum(amounts, _NOTHING) / len(amounts)


def _running(pace: Mapping[int, Decimal], since: datetime, end: datetime) -> Decimal:
    """The pace of each day of [since, end); the day that has begun counts by what is left of it."""
    cost = _NOTHING
    at = since.astimezone(UTC)
    while at < end:
        next_day = datetime.combine(at.date() + _DAY, time(), UTC)
        cost += pace[at.isoweekday()] * int((next_day - at).total_seconds()) / 86400
        at = next_day
    return cost
