"""`lifecycle_sweep_growth`: the time to find and queue 1,000 due machines among 1,000,000, over among 10,000.

Two sets of the same tables in one database (`tests.bench.populations`), each with as many machines due: half of them
for the end of their lifetime, half for an idle stop, of which the newest samples are read. What is timed is the whole
of `enforce`, the job's own code: reckon, warn, find what is due, and for each machine its locks, judgement, operation,
decision and audit entry in a transaction of its own. Between the runs what was queued is ended, so the same machines
are due each time. All the others were used a moment ago; every machine has three samples.

`DUE=200` has fewer machines due among as many: shorter, and a harder measure, for the search weighs more in it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection
from django.test import override_settings
from django.utils import timezone

from forge.operations.models import Operation
from tests import factories
from tests.bench import populations
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from workspaces.models import Decision, WorkSpace
from workspaces.rules.sweep import enforce

LARGE = {"tiny": 200, "quick": 20_000, "full": 1_000_000}
SMALL = {"tiny": 20, "quick": 200, "full": 10_000}
DUE = {"tiny": 4, "quick": 20, "full": 1_000}
HERE, SECOND = "public", "bench_few"


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """Both sets filled; a run may touch all that is due."""
    due, now = int(os.environ.get("DUE", of_size(size, DUE))), timezone.now()
    organization = factories.OrganizationFactory()
    given = {
        "organization": organization.id,
        "owner": factories.UserFactory(organization=organization).id,
        "team": factories.TeamFactory(organization=organization).id,
        "blueprint": factories.BlueprintFactory(organization=organization).id,
        "account": factories.ProviderAccountFactory(organization=organization).id,
        "now": now,
    }
    with populations.second(SECOND), override_settings(FORGE_LIFECYCLE_AT_MOST=due):
        for schema, sizes in ((HERE, LARGE), (SECOND, SMALL)):
            count = of_size(size, sizes)
            populations.fill(schema, given | {"count": count, "every": count // due})
        yield Sides(
            mine=partial(_run, HERE, due, now), bare=partial(_run, SECOND, due, now), verify=partial(_verify, size)
        )


def _run(schema: str, due: int, now: datetime) -> Run:
    with populations.looking_at(schema):
        before = _written()
        began = time.perf_counter()
        figures = enforce(now=now)
        seconds = time.perf_counter() - began
        wrote = {name: count - before[name] for name, count in _written().items()}
    done = {name: count for name, count in figures.items() if count}
    if done != {"due": due, "stopped": due // 2, "ended": due // 2}:
        raise UnequalWork(f"the sweep of {schema} did something else: {done}")
    populations.carry_out(schema)
    return Run(seconds, due, wrote)


def _written() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_auditlog")
        (entries,) = cursor.fetchone()
    return {"operations": Operation.objects.count(), "decisions": Decision.objects.count(), "entries": entries}


def _verify(size: str) -> dict[str, Any]:
    """How many machines there are on each side, and that none has left its state."""
    counted = {}
    for name, schema, sizes in (("machines_mine", HERE, LARGE), ("machines_bare", SECOND, SMALL)):
        with populations.looking_at(schema):
            counted[name] = WorkSpace.objects.filter(state="AVAILABLE", is_unreckoned=False).count()
        if counted[name] != of_size(size, sizes):
            raise UnequalWork(f"{counted[name]} machines of {schema} are as they were, not {of_size(size, sizes)}")
    return counted


BENCHMARK = Benchmark(name="lifecycle_sweep_growth", goal=1.5, prepare=prepare, is_rate=False)
