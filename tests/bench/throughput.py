"""`launch_throughput_vs_bare_tx`: whole launches per second by the service, over the same rows by bare SQL.

Four processes with eight threads and connections each, on either side; all launch for people of one team, so all meet
at its budget and at the organization's. Our side is `workspaces.services.launch` without HTTP: look-ups, scope rows,
guards, rows, audit entry in its lane of the chained log, bell. What the other side is stands in `bare/launch.py`; its
audit entries go into a plain table. People are read before the clock runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

from django.db import connection
from django.utils import timezone

from audit.verification.rows import verify
from forge.accounts.models import User
from tests import factories
from tests import world as worlds
from tests.bench.admission import month_of, next_month
from tests.bench.bare import append
from tests.bench.children import Child, starting
from tests.bench.launchers import CONNECTIONS
from tests.bench.measure import MOST_TIMES, Benchmark, Run, Sides, UnequalWork, of_size
from workspaces import services

PROCESSES = 4
LAUNCHES = {"tiny": 32, "quick": 160, "full": 960}
"""Of all processes together in one run: thirty for each connection at the full size."""

PEOPLE = """
    WITH person AS (
        INSERT INTO accounts_user (
            id, organization_id, password, email, full_name, external_id, directory_username, location, time_zone,
            is_active, created_at, updated_at
        )
        SELECT forge_uuid7(), %(organization)s, '!', 'bench' || nr || '@example.com', 'Person ' || nr, '',
               'bench' || nr, '', '', true, %(now)s, %(now)s
          FROM generate_series(0, %(count)s - 1) AS nr
        RETURNING id
    )
    INSERT INTO accounts_membership (id, organization_id, user_id, team_id, role, created_at, updated_at)
    SELECT forge_uuid7(), %(organization)s, id, %(team)s, 'engineer', %(now)s, %(now)s FROM person
"""
_WRITTEN = f"""
    SELECT 'workspaces', count(*) FROM workspaces_workspace
    UNION ALL SELECT 'state changes', count(*) FROM workspaces_statechange
    UNION ALL SELECT 'operations', count(*) FROM operations_operation
    UNION ALL SELECT 'reservations', count(*) FROM budgets_reservation
    UNION ALL SELECT 'marks', count(*) FROM costs_metermark
    UNION ALL SELECT 'entries', (SELECT count(*) FROM audit_auditlog) + (SELECT count(*) FROM {append.TABLE})
"""
_HELD = """
    SELECT b.reserved, count(*), sum(r.remaining), min(r.remaining), max(r.remaining)
      FROM budgets_budget b JOIN budgets_reservation r ON r.budget_id = b.id GROUP BY b.id
"""
_UNLIKE = """
    SELECT count(DISTINCT to_jsonb(w) - '{id,name,search_name,owner_id,directory_user,state_since,created_at,updated_at,
                                          next_action_at}'::text[])
      FROM workspaces_workspace w
"""


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """A world with two budgets, one machine that the service launched, and people enough for every run."""
    launches, now = of_size(size, LAUNCHES), timezone.now()
    world = worlds.build()
    month = month_of(now)
    for scope, scope_id in (("TEAM", world.team.id), ("ORGANIZATION", world.organization.id)):
        factories.BudgetFactory(
            organization=world.organization,
            scope=scope,
            scope_id=scope_id,
            amount=10**9,
            period_start=month,
            period_end=next_month(month),
            adopted_at=month,
        )
    runs = 2 * (MOST_TIMES + 1)
    with connection.cursor() as cursor:
        given = {"organization": world.organization.id, "team": world.team.id, "count": launches * runs, "now": now}
        cursor.execute(PEOPLE, given)
    lead = User.objects.get(pk=world.lead.pk)
    first = services.launch(actor=worlds.actor(lead), spec=world.spec(owner=world.engineer.email), now=now).workspace
    if first is None:
        raise UnequalWork("the launch to do again made no machine")
    ids = str(lead.id), str(first.id)
    numbers = count(0, launches // PROCESSES)
    with append.installed(), contextlib.ExitStack() as stack:
        sides = [
            [
                stack.enter_context(starting("tests.bench.apart", f"tests.bench.launchers.{side}", *ids))
                for _ in range(PROCESSES)
            ]
            for side in ("by_service", "by_sql")
        ]
        for crew in sides:
            for one in crew:
                one.answer()
        mine, bare = (partial(_run, crew, launches // PROCESSES, numbers) for crew in sides)
        yield Sides(mine=mine, bare=bare, verify=_verify)


def _run(crew: Sequence[Child], share: int, numbers: Iterator[int]) -> Run:
    for one in crew:
        if one.ask(f"ready {next(numbers)} {share}") != {"people": share}:
            raise UnequalWork(f"there are not {share} people for each process")
    before = _written()
    began = time.perf_counter()
    for one in crew:
        one.tell("go")
    done = sum(one.answer()["done"] for one in crew)
    seconds = time.perf_counter() - began
    return Run(seconds, done, {name: number - before[name] for name, number in _written().items()})


def _written() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN)
        return dict(cursor.fetchall())


def _verify() -> dict[str, Any]:
    """Each budget holds what its reservations hold, the same for every machine; all machines are alike."""
    written = _written()
    with connection.cursor() as cursor:
        cursor.execute(_HELD)
        held = cursor.fetchall()
        cursor.execute(_UNLIKE)
        (kinds,) = cursor.fetchone()
        cursor.execute(f"SELECT count(*) FROM {append.TABLE}")
        (plain,) = cursor.fetchone()
    machines = written["workspaces"]
    if any((number, total, least) != (machines, reserved, most) for reserved, number, total, least, most in held):
        raise UnequalWork(f"budgets and reservations of {machines} machines: {held}")
    report = verify()
    if kinds != 1 or not report.is_intact or written["entries"] != machines:
        raise UnequalWork(f"{kinds} kinds of machines, {written}, the log's faults: {report.findings}")
    return {
        "processes": PROCESSES, "connections": PROCESSES * CONNECTIONS, "machines": machines, "entries_bare": plain,
    }  # fmt: skip


BENCHMARK = Benchmark(name="launch_throughput_vs_bare_tx", goal=0.15, prepare=prepare, is_rate=True)
