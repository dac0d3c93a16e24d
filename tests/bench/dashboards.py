"""`dashboard_flatness`, `dashboard_vs_group_by`, `dashboard_vs_duckdb`: a dashboard over a growing history.

A dashboard asks by HTTP for the costs of the last 30 days by team (`summary`), and for those by day and bundle type
(`timeseries`), as finance, who sees the whole organization. Flatness is the 95th percentile of each at the whole
history of a fleet over that at its first day, the greater of the two. The others do the same from the records, summed
up when they are asked: PostgreSQL by GROUP BY, and DuckDB from Parquet files.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as of_day
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connections

from tests.bench.bare import dashboard as bare
from tests.bench.bare.dashboard import Answers
from tests.bench.bare.duck import Duck
from tests.bench.history import History
from tests.bench.measure import Benchmark, Figure, Run, Sides, Subject, UnequalWork, of_size
from tests.bench.web import asked, served

MACHINES = {"tiny": 60, "quick": 400, "full": 20_000}
DAYS = {"tiny": 31, "quick": 104, "full": 104}
"""104 days of 20,000 machines are 49,920,000 records; one day is 480,000."""
REQUESTS = {"tiny": 2, "quick": 100, "full": 100}
ASKED_DAYS = 30


class Dashboard:
    """The two requests over the last 30 days of a history, and what they answer."""

    def __init__(self, client: http.client.HTTPConnection, history: History) -> None:
        self._client, self._history = client, history
        self.end = history.end
        self.first = self.end - timedelta(days=ASKED_DAYS)
        days = f"start={self.first}&end={self.end}"
        self.addresses = {
            "summary": f"/api/v1/costs/summary/?{days}&group_by=team",
            "timeseries": f"/api/v1/costs/timeseries/?{days}&group_by=bundle_type",
        }

    def ask(self) -> Answers:
        """Total cost by team; by day and bundle type."""
        summary, series = (json.loads(self._body(address)) for address in self.addresses.values())
        return (
            {row["team"]: Decimal(row["total_cost"]) for row in summary["groups"]},
            {(row["day"], row["bundle_type"]): Decimal(row["total_cost"]) for row in series["results"]},
        )

    def p95(self, requests: int) -> dict[str, float]:
        """Seconds of the slowest but one in twenty, by request; they take turns, after one that warms up."""
        taken: dict[str, list[float]] = {name: [] for name in self.addresses}
        for number in range(requests + 1):
            for name, address in self.addresses.items():
                began = time.perf_counter()
                self._body(address)
                if number:
                    taken[name].append(time.perf_counter() - began)
        return {name: sorted(seconds)[int(0.95 * (len(seconds) - 1))] for name, seconds in taken.items()}

    def by_records(self) -> Answers:
        """The same from the records."""
        start, end = (datetime.combine(day, of_day(), UTC) for day in (self.first, self.end))
        return bare.ask(organization=self._history.organization_id, start=start, end=end)

    def _body(self, address: str) -> bytes:
        return asked(self._client, address, self._history.token)


@contextlib.contextmanager
def prepare_flatness(size: str) -> Iterator[Subject]:
    """One day of the fleet, and a server that shows it."""
    history = History(of_size(size, MACHINES))
    history.grow(1)
    requests, days = of_size(size, REQUESTS), of_size(size, DAYS)
    counted: dict[str, Any] = {}

    def run() -> Run:
        began = time.perf_counter()
        with served() as client:
            dashboard = Dashboard(client, history)
            counted["records_before"] = history.records
            small = dashboard.p95(requests)
            history.grow(days)
            large = dashboard.p95(requests)
            _equal(dashboard.ask(), dashboard.by_records())
        counted["records"] = history.records
        counted["p95_ms_before"] = {name: round(1000 * seconds, 2) for name, seconds in small.items()}
        counted["p95_ms"] = {name: round(1000 * seconds, 2) for name, seconds in large.items()}
        ratios = {name: large[name] / small[name] for name in large}
        counted["table"] = ratios
        greatest = {"thousandths": round(1000 * max(ratios.values()))}
        return Run(time.perf_counter() - began, history.records, greatest)

    yield Subject(run=run, verify=lambda: counted)


@contextlib.contextmanager
def _prepare(size: str, other: Callable[[Dashboard, History, Path], Callable[[], Answers]]) -> Iterator[Sides]:
    history = History(of_size(size, MACHINES))
    history.grow(of_size(size, DAYS))
    with tempfile.TemporaryDirectory(prefix="bench-dashboard-") as folder, served() as client:
        dashboard = Dashboard(client, history)
        of_other = other(dashboard, history, Path(folder))

        def verify() -> dict[str, Any]:
            _equal(dashboard.ask(), of_other())
            return {"records": history.records, "machines": history.machines, "days": history.days}

        yield Sides(mine=lambda: _timed(dashboard.ask), bare=lambda: _timed(of_other), verify=verify)
    connections.close_all()


def prepare_group_by(size: str) -> contextlib.AbstractContextManager[Sides]:
    """The whole history, and GROUP BY over its records."""
    return _prepare(size, lambda dashboard, history, folder: dashboard.by_records)


def prepare_duckdb(size: str) -> contextlib.AbstractContextManager[Sides]:
    """The whole history, and the days of it that are asked for as Parquet."""

    def other(dashboard: Dashboard, history: History, folder: Path) -> Callable[[], Answers]:
        duck = Duck(folder, organization=history.organization_id, first=dashboard.first, end=dashboard.end)
        return lambda: duck.ask(first=dashboard.first, end=dashboard.end)

    return _prepare(size, other)


def _timed(ask: Callable[[], Answers]) -> Run:
    began = time.perf_counter()
    by_team, by_day = ask()
    return Run(time.perf_counter() - began, len(by_team) + len(by_day))


def _equal(mine: Answers, others: Answers) -> None:
    if mine != others or not mine[0]:
        raise UnequalWork(f"the answers differ: {sum(mine[0].values())} and {sum(others[0].values())}")


FLATNESS = Figure(
    name="dashboard_flatness",
    goal=1.3,
    unit="times",
    prepare=prepare_flatness,
    is_rate=False,
    counted=lambda run: float(run.wrote["thousandths"]) / 1000,
)
GROUP_BY = Benchmark(name="dashboard_vs_group_by", goal=100, prepare=prepare_group_by, is_rate=True)
DUCKDB = Benchmark(name="dashboard_vs_duckdb", goal=1, prepare=prepare_duckdb, is_rate=True)
