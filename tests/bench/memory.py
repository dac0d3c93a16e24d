"""`sweep_peak_memory`: the most memory that any of the sweeps takes over 1,000,000 running machines, in megabytes.

Each sweep is the job's own function in a process of its own, all machines are due for it: metering books the first hour
of each, the collector samples each, reconcile compares each with the simulator and finds it as it was, and the rules
reckon each, warn as many as a run warns, and end those whose lifetime is over (one in a thousand). The value is the
greatest; all of them stand in `counts`, and what the process had before the sweep began, which is Python with Django
and boto3.

`MACHINES=100000` takes another number of machines, `SWEEPS=meter_costs,reconcile_workspaces` only some of the sweeps: a
row of figures over several sizes shows whether a sweep grows with the fleet, where there is no time for the full size
(sampling alone takes two processes two milliseconds for each machine).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection

from tests.bench import cloud
from tests.bench import fleet as fleets
from tests.bench.children import child
from tests.bench.cloud import Holding
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size
from tests.bench.sweepers import SWEEPS
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.simulator.server import Simulator

MACHINES = {"tiny": 60, "quick": 20_000, "full": 1_000_000}
ONE_IN = 1_000

_OLD = """
    UPDATE workspaces_workspace SET created_at = created_at - interval '100 days',
           end_warned_at = created_at - interval '17 days'
     WHERE id IN (SELECT id FROM workspaces_workspace ORDER BY id LIMIT %s)
"""


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A fleet that was looked at once, but never metered, sampled or reckoned, here and in AWS."""
    fleet = fleets.build(int(os.environ.get("MACHINES", of_size(size, MACHINES))))
    old = max(1, fleet.count // ONE_IN)
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [old])
        cursor.execute(cloud.LOOKED_AT)
    fleets.settle_down()
    counted: dict[str, Any] = {"machines": fleet.count}
    account = ProviderAccount.objects.get().account
    at = fleet.launched_at + timedelta(minutes=30)
    ours = Holding(account, fleet.count, kinds=fleets.KINDS)
    with cloud.standing(ours, since=fleet.launched_at, at=at) as simulator:
        yield Subject(run=partial(_run, fleet, old, simulator, counted), verify=lambda: counted)


def _run(fleet: fleets.Fleet, old: int, simulator: Simulator, counted: dict[str, Any]) -> Run:
    env = {"AWS_ENDPOINT_URL": simulator.url, "FORGE_AWS_CALLS_PER_SECOND": "0"}
    answers = {}
    began = time.perf_counter()
    for name in os.environ.get("SWEEPS", ",".join(SWEEPS)).split(","):
        with child(
            "tests.bench.apart", "tests.bench.sweepers.sweep", name, fleet.launched_at.isoformat(), env=env
        ) as one:
            asked = time.perf_counter()
            answers[name] = one.ask("go") | {"seconds": time.perf_counter() - asked}
    seconds = time.perf_counter() - began
    _check(fleet, old, {name: answer["figures"] for name, answer in answers.items()})
    counted["table"] = {f"{name}, MB": answer["peak"] for name, answer in answers.items()}
    counted["megabytes_before"] = {name: round(answer["before"], 1) for name, answer in answers.items()}
    counted["seconds"] = {name: round(answer["seconds"], 1) for name, answer in answers.items()}
    return Run(seconds, fleet.count, {"megabytes": round(max(answer["peak"] for answer in answers.values()))})


def _check(fleet: fleets.Fleet, old: int, figures: dict[str, Any]) -> None:
    done = {
        "meter_costs": lambda of: of["machines"],
        "collect_usage": lambda of: of["machines"],
        "reconcile_workspaces": lambda of: of["seen"] - of["refreshed"] - of["drifted"],
        "enforce_lifecycle": lambda of: WorkSpace.objects.filter(is_unreckoned=False).count() + of["ended"] - old,
    }
    wrong = {name: of for name, of in figures.items() if done[name](of) != fleet.count}
    if wrong:
        raise UnequalWork(f"the sweeps over {fleet.count} machines, {old} of them old, did something else: {wrong}")


FIGURE = Figure(
    name="sweep_peak_memory",
    goal=200,
    unit="MB",
    prepare=prepare,
    is_rate=False,
    counted=lambda run: float(run.wrote["megabytes"]),
)
