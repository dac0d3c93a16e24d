"""`metering_1m`: the seconds of one sweep over 1,000,000 running machines, an hour after they were metered last.

The sweep is the job's own function in a process of its own. The promise is that costs are visible five minutes after
they arose; the memory of the process stands in `counts`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connection

from costs.metering import meter
from tests.bench import fleet as fleets
from tests.bench.children import child
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size

MACHINES = {"tiny": 60, "quick": 20_000, "full": 1_000_000}

_TOTALS = """
    SELECT (SELECT sum(total_cost) FROM costs_costrecord), (SELECT sum(total_cost) FROM costs_dailycost),
           (SELECT sum(cost_to_date) FROM workspaces_workspace),
           (SELECT sum(spent) FROM budgets_budget WHERE scope = 'ORGANIZATION')
"""


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A fleet that was metered half an hour after its launch; every machine is due again an hour later."""
    fleet = fleets.build(of_size(size, MACHINES))
    meter(now=fleet.launched_at + timedelta(minutes=30))
    fleets.settle_down()
    counted: dict[str, Any] = {"machines": fleet.count}

    def run() -> Run:
        with child(
            "tests.bench.apart", "tests.bench.sweepers.sweep", "meter_next_hour", fleet.launched_at.isoformat()
        ) as one:
            began = time.perf_counter()
            answer = one.ask("go")
            seconds = time.perf_counter() - began
        counted["megabytes"] = round(answer["peak"], 1)
        counted["transactions"] = answer["figures"]["transactions"]
        return Run(seconds, answer["figures"]["machines"])

    def verify() -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute(_TOTALS)
            totals = set(cursor.fetchone())
            cursor.execute("SELECT count(DISTINCT workspace_id) FROM costs_costrecord")
            (machines,) = cursor.fetchone()
        if len(totals) > 1 or machines != fleet.count:
            raise UnequalWork(f"{machines} machines of {fleet.count} are metered; sums: {totals}")
        return counted

    yield Subject(run=run, verify=verify)


FIGURE = Figure(name="metering_1m", goal=300, unit="s", prepare=prepare, is_rate=False, counted=lambda run: run.seconds)
