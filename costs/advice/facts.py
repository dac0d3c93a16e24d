"""What is known of machines that advice could be for, a chunk at a time: each kind of fact is one set-based query."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

from django.db import connection
from django.db.models import F, Max, Q

from blueprints.offers import offers_to_machines
from costs import pricing
from costs.advice.modes import DAY, Rates
from costs.advice.sizing import DAYS, SMALLER_BELOW, Load
from costs.models import Price
from forge.accounts.models import Membership
from workspaces.busy import under_way
from workspaces.guards import bundles_for_role
from workspaces.models import ConfigurationChange, WorkLease, WorkSpace
from workspaces.resizing import CONVERTIBLE, Past

MODE_DAYS = 28
"""Whole UTC days of which the running mode is judged: four of each weekday."""

SAMPLED = timedelta(minutes=5)
COVERED_HOURS = 18
"""A UTC day counts as observed when so many of its hours have a sample that tells of connections."""

# A row of CloudWatch without a word on connections counts as use: what is not known must not make a machine smaller.
_LOAD = """
    SELECT workspace_id,
           count(*) FILTER (WHERE in_use AND cpu IS NOT NULL),
           count(DISTINCT day) FILTER (WHERE in_use AND cpu IS NOT NULL),
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY cpu) FILTER (WHERE in_use AND cpu IS NOT NULL),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY memory) FILTER (WHERE in_use AND memory IS NOT NULL),
           max(memory) FILTER (WHERE in_use),
           count(DISTINCT hour) FILTER (WHERE connected IS NOT NULL),
           count(DISTINCT hour),
           count(DISTINCT hour) FILTER (WHERE connected OR cpu >= %(busy)s),
           max(at) FILTER (WHERE connected OR cpu >= %(busy)s)
      FROM (
          SELECT workspace_id, at, connected, cpu, memory,
                 connected IS NOT FALSE OR cpu >= %(busy)s AS in_use,
                 (at AT TIME ZONE 'UTC')::date AS day, date_bin('1 hour', at, '2000-01-01 00:00:00+00') AS hour
            FROM workspaces_usagesample
           WHERE workspace_id = ANY (%(ids)s) AND at >= %(since)s AND at < %(now)s
      ) AS sample
     GROUP BY workspace_id
"""

# Only whole days in which each hour was AutoStop's: of others the hours are not known.
_BILLED = """
    SELECT workspace_id, (period_start AT TIME ZONE 'UTC')::date AS day, sum(billed_hours)
      FROM costs_costrecord
     WHERE workspace_id = ANY (%(ids)s) AND period_start >= %(since)s AND period_start < %(until)s
     GROUP BY workspace_id, day
    HAVING count(*) = 24 AND bool_and(running_mode = 'AUTO_STOP')
"""

# What AutoStop would have made of the connections: each run lasts from the first sample to the time after the last.
CONNECTED = """
    SELECT workspace_id, min(at), max(at)
      FROM (
          SELECT workspace_id, at, count(*) FILTER (WHERE gap IS NULL OR gap > %(sampled)s + tail)
                     OVER (PARTITION BY workspace_id ORDER BY at) AS run
            FROM (
                SELECT asked.id AS workspace_id, asked.tail, sample.at,
                       sample.at - lag(sample.at) OVER (PARTITION BY asked.id ORDER BY sample.at) AS gap
                  FROM unnest(%(ids)s::uuid[], %(tails)s::interval[]) AS asked (id, tail)
                  JOIN workspaces_usagesample sample ON sample.workspace_id = asked.id
                 WHERE sample.at >= %(since)s AND sample.at < %(until)s AND sample.connected
            ) AS seen
      ) AS numbered
     GROUP BY workspace_id, run
     ORDER BY workspace_id, min(at)
"""

_COVERED = """
    SELECT workspace_id, (at AT TIME ZONE 'UTC')::date AS day
      FROM workspaces_usagesample
     WHERE workspace_id = ANY (%(ids)s) AND at >= %(since)s AND at < %(until)s AND connected IS NOT NULL
     GROUP BY workspace_id, day
    HAVING count(DISTINCT date_bin('1 hour', at, '2000-01-01 00:00:00+00')) >= %(hours)s
"""


@dataclass(frozen=True)
class Activity:
    """Of fourteen days: UTC hours that were sampled, those whose samples tell of connections, and those in use."""

    sampled_hours: int
    told_hours: int
    used_hours: int
    last_used_at: datetime | None

    @property
    def unused_hours(self) -> int:
        return self.sampled_hours - self.used_hours


@dataclass(frozen=True)
class Facts:
    """What is known of one machine at an instant."""

    machine: WorkSpace
    load: Load | None = None
    activity: Activity = field(default=Activity(0, 0, 0, None))
    hours_by_day: Mapping[date, Decimal] = field(default_factory=dict)
    prices: Mapping[tuple[str, str], Price] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    past: Past | None = None
    leased_until: datetime | None = None

    def rates(self, bundle_type: str, running_mode: str) -> Rates | None:
        """What the machine would cost with its volumes as another bundle or in another mode; None without a price."""
        price = self.prices.get((bundle_type, running_mode))
        return None if price is None else rates_of(price, self.machine)

    def price_ids(self, *kinds: tuple[str, str]) -> list[uuid.UUID]:
        return [self.prices[kind].id for kind in kinds]


def rates_of(price: Price, machine: WorkSpace) -> Rates:
    """A price for the machine's own volumes."""
    volumes = machine.root_volume_gb + machine.user_volume_gb
    return Rates(price.monthly_amount + price.storage_fee(volumes), price.hourly_amount)


def facts_of(machines: Sequence[WorkSpace], *, now: datetime) -> list[Facts]:
    """The facts of the machines that no operation is changing; `organization` of each is read already."""
    busy = set(under_way().filter(target_id__in=[one.id for one in machines]).values_list("target_id", flat=True))
    idle = [one for one in machines if one.id not in busy]
    if not idle:
        return []
    loads, activities = _loads(idle, now)
    hours = _hours_by_day(idle, now)
    prices, allowed, pasts, leases = _prices(idle, now), _allowed(idle), _pasts(idle), _leases(idle, now)
    return [
        Facts(
            machine=one,
            load=loads.get(one.id),
            activity=activities.get(one.id, Activity(0, 0, 0, None)),
            hours_by_day=hours.get(one.id, {}),
            prices=prices[one.id],
            allowed=allowed[one.id],
            past=pasts[one.id],
            leased_until=leases.get(one.id),
        )
        for one in idle
    ]


def tail_of(machine: WorkSpace) -> timedelta:
    """How long AWS lets an AutoStop machine run after its last connection: whole hours."""
    return timedelta(hours=pricing.hours_up(timedelta(minutes=machine.auto_stop_timeout_minutes)))


def runs(machines: Iterable[WorkSpace], *, since: datetime, until: datetime) -> dict[uuid.UUID, list[pricing.Interval]]:
    """When the machines would have run under AutoStop, by their connections."""
    tails = {one.id: tail_of(one) for one in machines}
    asked = {"ids": list(tails), "tails": list(tails.values()), "sampled": SAMPLED, "since": since, "until": until}
    found: dict[uuid.UUID, list[pricing.Interval]] = defaultdict(list)
    for machine_id, first, last in _rows(CONNECTED, asked):
        found[machine_id].append(pricing.Interval(first, last + SAMPLED + tails[machine_id]))
    return found


def _loads(machines: Sequence[WorkSpace], now: datetime) -> tuple[dict[uuid.UUID, Load], dict[uuid.UUID, Activity]]:
    loads, activities = {}, {}
    asked = {"ids": [one.id for one in machines], "since": now - DAYS * DAY, "now": now, "busy": SMALLER_BELOW}
    for machine_id, samples, days, cpu, memory_p95, memory_most, *hours in _rows(_LOAD, asked):
        told_hours, sampled_hours, used_hours, last_used_at = hours
        activities[machine_id] = Activity(sampled_hours, told_hours, used_hours, last_used_at)
        if samples:
            loads[machine_id] = Load(samples, days, cpu[0], cpu[1], memory_p95, memory_most)
    return loads, activities


def _hours_by_day(machines: Sequence[WorkSpace], now: datetime) -> dict[uuid.UUID, dict[date, Decimal]]:
    """Started hours of each observed whole day: of AutoStop as billed, of AlwaysOn as AutoStop would have had them."""
    until = datetime.combine(now.astimezone(UTC).date(), time(0), tzinfo=UTC)
    since = until - MODE_DAYS * DAY
    by_mode = defaultdict(list)
    for one in machines:
        by_mode[one.running_mode].append(one)
    asked = {"since": since, "until": until}
    found: dict[uuid.UUID, dict[date, Decimal]] = defaultdict(dict)
    billed = [one.id for one in by_mode["AUTO_STOP"]]
    for machine_id, day, hours in _rows(_BILLED, asked | {"ids": billed}) if billed else ():
        found[machine_id][day] = hours
    always_on = by_mode["ALWAYS_ON"]
    if always_on:
        covered = asked | {"ids": [one.id for one in always_on], "hours": COVERED_HOURS}
        for machine_id, day in _rows(_COVERED, covered):
            found[machine_id][day] = Decimal(0)
        for machine_id, intervals in runs(always_on, since=since, until=until).items():
            for begun in pricing.session_hours(intervals, until):
                if begun.date() in found[machine_id]:
                    found[machine_id][begun.date()] += 1
    return found


def _prices(machines: Sequence[WorkSpace], now: datetime) -> dict[uuid.UUID, dict[tuple[str, str], Price]]:
    """The prices in force for the machine's region and system, in its organization's currency; the own ones win."""
    places = {one.region for one in machines}
    owners = {one.organization_id for one in machines}
    in_force = Price.objects.in_force(now).filter(
        Q(organization__isnull=True) | Q(organization__in=owners),
        service_type=WorkSpace.ServiceType.PERSONAL,
        region__in=places,
    )
    kinds: dict[tuple[Any, ...], dict[tuple[str, str], Price]] = defaultdict(dict)
    for price in in_force:
        of = (price.organization_id, price.region, price.operating_system, price.currency)
        kinds[of][price.bundle_type, price.running_mode] = price
    found = {}
    for one in machines:
        place = (one.region, one.operating_system, one.organization.currency)
        found[one.id] = kinds.get((None, *place), {}) | kinds.get((one.organization_id, *place), {})
    return found


def _allowed(machines: Sequence[WorkSpace]) -> dict[uuid.UUID, frozenset[str]]:
    """Bundle types that the machine's blueprint offers it in its region and its owner's role may launch."""
    offers = offers_to_machines({one.blueprint_id for one in machines})
    roles: dict[tuple[uuid.UUID, uuid.UUID | None], str] = {
        (user, team): role
        for user, team, role in Membership.objects.filter(user__in={one.owner_id for one in machines})
        .order_by("-id")
        .values_list("user_id", "team_id", "role")
    }
    allowed = {}
    for one in machines:
        role = roles.get((one.owner_id, one.team_id)) or roles.get((one.owner_id, None))
        offered = {bundle_type for region, bundle_type in offers.get(one.blueprint_id, ()) if region == one.region}
        allowed[one.id] = frozenset(offered & bundles_for_role(role))
    return allowed


def _pasts(machines: Sequence[WorkSpace]) -> dict[uuid.UUID, Past]:
    reduced = Q()
    for smaller, larger in combinations(CONVERTIBLE, 2):
        reduced |= Q(before_bundle_type=larger, after_bundle_type=smaller)
    changes = ConfigurationChange.objects.filter(workspace__in=[one.id for one in machines])
    computed = changes.exclude(before_bundle_type=F("after_bundle_type")).values("workspace")
    at = {
        row["workspace"]: (row["changed"], row["reduced"])
        for row in computed.annotate(changed=Max("occurred_at"), reduced=Max("occurred_at", filter=reduced))
    }
    return {one.id: Past(one.launched_at or one.created_at, *at.get(one.id, (None, None))) for one in machines}


def _leases(machines: Sequence[WorkSpace], now: datetime) -> dict[uuid.UUID, datetime]:
    live = WorkLease.objects.filter(workspace__in=[one.id for one in machines], until__gt=now)
    return dict(live.values_list("workspace_id").annotate(Max("until")))


def _rows(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
