"""`metering_vs_bare_sql` and `metering_idle_vs_scan`: a sweep over very many running machines.

The sweep that changes every row is the one after a full hour: each machine's record of the hour that ended gets its
session hour and its seconds, and the record of the hour that begins is new with its share of the fee. The two sides
take turns on the same machines, hour by hour: what one has written the other continues, so both work on the same
tables, equally grown, and no figure can be right unless both are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from costs import pricing
from costs.metering import CHUNK, meter
from costs.models import Price
from tests.bench import fleet as fleets
from tests.bench.bare import metering as bare
from tests.bench.bare import scan
from tests.bench.fleet import KINDS, Fleet
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.bench.rows import timed

MACHINES = {"tiny": 60, "quick": 2_000, "full": 100_000}
SCANS = 20
"""Idle sweeps and scans per run: one alone is over too soon to be timed well."""

AFTER_THE_HOUR = timedelta(seconds=30)

_RECORDS = """
    SELECT period_start, bundle_type, count(*), sum(running_seconds), sum(billed_hours), sum(total_cost)
      FROM costs_costrecord GROUP BY period_start, bundle_type
"""
_TOTALS = """
    SELECT (SELECT sum(total_cost) FROM costs_costrecord), (SELECT sum(total_cost) FROM costs_dailycost),
           (SELECT sum(cost_to_date) FROM workspaces_workspace),
           (SELECT sum(spent) FROM budgets_budget WHERE scope = 'TEAM'),
           (SELECT sum(spent) FROM budgets_budget WHERE scope = 'ORGANIZATION'),
           (SELECT sum(amount - remaining) / 2 FROM budgets_reservation)
"""
_MARKS = """
    SELECT count(*), min(metered_through), max(metered_through), min(paid_until), max(paid_until), min(next_due_at),
           max(next_due_at), count(dirty_from)
      FROM costs_metermark
"""


class Hours:
    """The hours of one fleet, swept one after the other by whichever side is next."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.now = fleet.began_at + timedelta(hours=1) + AFTER_THE_HOUR
        self.swept = 1
        self.prices = {
            price.bundle_type: price
            for price in Price.objects.filter(
                organization=None, operating_system="LINUX", running_mode="AUTO_STOP", bundle_type__in=KINDS
            )
        }
        meter(now=self.now)  # from the histories, once
        fleets.settle_down()

    def mine(self) -> Run:
        """The next hour by the product."""
        now = self._next()
        return timed(lambda: meter(now=now)["machines"])

    def bare(self) -> Run:
        """The next hour by plain SQL."""
        now = self._next()
        owed = [
            bare.Owed(
                bundle_type=kind,
                price_id=price.id,
                session_hour=price.hourly_amount,
                fee=pricing.accrual(price.monthly_amount, pricing.hour_of(now)),
            )
            for kind, price in self.prices.items()
        ]
        return timed(lambda: bare.sweep(now=now, owed=owed, chunk=CHUNK))

    def verify(self) -> dict[str, Any]:
        """Every hour holds what the price book says, whoever wrote it, and all sums agree."""
        with connection.cursor() as cursor:
            cursor.execute(_RECORDS)
            records = {(hour, kind): tuple(figures) for hour, kind, *figures in cursor.fetchall()}
            cursor.execute(_TOTALS)
            totals = set(cursor.fetchone())
            cursor.execute(_MARKS)
            marks = cursor.fetchone()
            cursor.execute("SELECT bundle_type, count(*) FROM workspaces_workspace GROUP BY bundle_type")
            expected = self._expected(dict(cursor.fetchall()))
        if wrong := [(key, records.get(key), expected.get(key)) for key in records.keys() | expected.keys()
                     if records.get(key) != expected.get(key)]:  # fmt: skip
            raise UnequalWork(f"hours that are not as they should be (is, should be): {wrong[:3]}")
        if len(totals) > 1:
            raise UnequalWork(f"records, daily sums, machines, budgets and reservations disagree: {totals}")
        paid_until = self.fleet.launched_at + timedelta(hours=self.swept)
        if marks != (self.fleet.count, self.now, self.now, *[paid_until] * 4, 0):
            raise UnequalWork(f"marks: {marks}")
        return {"machines": self.fleet.count, "hours": self.swept, "chunk": CHUNK}

    def _next(self) -> datetime:
        """The sweep's time; the sweep past midnight writes two daily sums per machine and is done unmeasured."""
        self._pass_an_hour()
        if pricing.hour_of(self.now).hour == 0:
            meter(now=self.now)
            self._pass_an_hour()
        return self.now

    def _pass_an_hour(self) -> None:
        self.swept += 1
        self.now += timedelta(hours=1)

    def _expected(self, machines: dict[str, int]) -> dict[tuple[datetime, str], tuple[int, Decimal, Decimal, Decimal]]:
        """(hour, kind) → machines, seconds, billed hours and cost, from costs.pricing and the clock alone."""
        expected = {}
        for kind, price in self.prices.items():
            for number in range(self.swept + 1):
                hour = self.fleet.began_at + timedelta(hours=number)
                seconds = Decimal(
                    (min(self.now, hour + pricing.HOUR) - max(self.fleet.launched_at, hour)).seconds or 3600
                )
                begun = 1 if number < self.swept else 0
                cost = begun * price.hourly_amount + pricing.accrual(price.monthly_amount, hour)
                count = machines.get(kind, 0)
                expected[hour, kind] = (count, count * seconds, Decimal(count * begun), count * cost)
        return expected


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """A fleet that has been metered once, and the hours after it."""
    hours = Hours(fleets.build(of_size(size, MACHINES)))
    yield Sides(mine=hours.mine, bare=hours.bare, verify=hours.verify)


@contextlib.contextmanager
def prepare_idle(size: str) -> Iterator[Sides]:
    """The same fleet, half a minute after everything is booked."""
    hours = Hours(fleets.build(of_size(size, MACHINES)))
    now = hours.now + timedelta(seconds=30)

    def mine() -> int:
        figures = [meter(now=now) for _ in range(SCANS)]
        if any(figure["machines"] or figure["records"] for figure in figures):
            raise UnequalWork(f"a sweep that should have had nothing to do: {figures}")
        return SCANS

    def bare() -> int:
        counted = {scan.scan(now=now) for _ in range(SCANS)}
        if counted != {hours.fleet.count}:
            raise UnequalWork(f"the scan saw {counted} machines of {hours.fleet.count}")
        return SCANS

    yield Sides(mine=lambda: timed(mine), bare=lambda: timed(bare), verify=hours.verify)


BENCHMARK = Benchmark(name="metering_vs_bare_sql", goal=1.3, prepare=prepare, is_rate=False)
IDLE = Benchmark(name="metering_idle_vs_scan", goal=2, prepare=prepare_idle, is_rate=False)
