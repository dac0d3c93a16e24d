"""`reconcile_calls_per_1000`: AWS calls that a look at 1,000 machines takes, as the simulator counts them.

Two provider accounts with as many machines each: those of the one are ours, those of the other nobody's, of which the
tags are asked too (GetResources, a hundred to a call). The value is that of the account that took more; both stand in
`counts`. Directories, stacks and whatever else is asked once an account is in it, so it falls with the size. How many
calls the sampling of use takes is not in it: that is another job, with two calls for each 50 machines.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db import connection
from django.test import override_settings

from tests import factories
from tests.bench import cloud
from tests.bench import fleet as fleets
from tests.bench.cloud import Holding
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size
from workspaces.models import UnmanagedMachine, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.simulator import catalog
from workspaces.simulator.server import Simulator

MACHINES = {"tiny": 50, "quick": 1_000, "full": 50_000}
NOBODYS = "210987654321"


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """Both accounts, here and in AWS. Ours were looked at before and are as they were."""
    fleet = fleets.build(of_size(size, MACHINES))
    with connection.cursor() as cursor:
        cursor.execute(cloud.LOOKED_AT)
    ours = WorkSpace.objects.values_list("provider_account__account", flat=True)[0]
    factories.ProviderAccountFactory(account=NOBODYS, directory_id=catalog.directory_id(cloud.REGION, 2))
    with (
        cloud.standing(
            Holding(ours, fleet.count, kinds=fleets.KINDS),
            Holding(NOBODYS, fleet.count, directory=2, letter="x"),
            since=fleet.launched_at,
            at=fleet.launched_at,
        ) as simulator,
        override_settings(AWS_ENDPOINT_URL=simulator.url, FORGE_AWS_CALLS_PER_SECOND=0),
    ):
        counted: dict[str, Any] = {"machines_in_each": fleet.count}
        yield Subject(run=partial(_run, simulator, fleet, ours, counted), verify=lambda: counted)


def _run(simulator: Simulator, fleet: fleets.Fleet, ours: str, counted: dict[str, Any]) -> Run:
    simulator.control.forget_traffic()
    began = time.perf_counter()
    figures = reconcile(now=fleet.launched_at)
    seconds = time.perf_counter() - began
    nobodys = UnmanagedMachine.objects.standing().count()
    changed = figures["refreshed"] + figures["drifted"]
    if (figures["seen"], figures["unmanaged"], nobodys, changed) != (*[fleet.count] * 3, 0):
        raise UnequalWork(f"{nobodys} machines of {fleet.count} are written down as nobody's: {figures}")
    calls: dict[str, Counter[str]] = {ours: Counter(), NOBODYS: Counter()}
    for row in simulator.control.traffic():
        calls[row["account"]][row["operation"]] += row["calls"]
    counted["table"] = {
        "calls per 1,000 of ours": 1000 * calls[ours].total() / fleet.count,
        "calls per 1,000 of nobody's": 1000 * calls[NOBODYS].total() / fleet.count,
    }
    counted["operations_of_ours"], counted["operations_of_nobodys"] = dict(calls[ours]), dict(calls[NOBODYS])
    return Run(seconds, fleet.count, {"calls": max(one.total() for one in calls.values())})


FIGURE = Figure(
    name="reconcile_calls_per_1000",
    goal=55,
    unit="calls",
    prepare=prepare,
    is_rate=False,
    counted=lambda run: 1000 * run.wrote["calls"] / run.work,
)
