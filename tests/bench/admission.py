"""`admission_vs_bare_lock`: launches admitted per second, over a bare lock on the budgets.

An admission is what a launch does between knowing what is wanted and its commit: take the scope rows, ask every guard
(the last one reserves in the budgets), write machine, state change and operation. Who may launch what where is looked
up before, and the audit entry has a benchmark of its own; neither belongs to the admission and both would make the two
sides more alike. Four threads, as one web process has, rush at the same team's and organization's budgets.

`counts` also tells how many whole launches per second the service makes in the same threads, look-ups, audit entry and
bell included: a figure without a bare side and without a goal.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, connections, transaction
from django.utils import timezone

from forge.accounts.models import User
from forge.db.ids import uuid7
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.bench.bare import admission as bare
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.world import World
from workspaces import services
from workspaces.intents import Intent
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.resolve import resolve_launch
from workspaces.services import launching
from workspaces.transitions import record_change

ADMISSIONS = {"tiny": 8, "quick": 60, "full": 800}
THREADS = 4

_WRITTEN = """
    SELECT 'workspaces', count(*) FROM workspaces_workspace
    UNION ALL SELECT 'state changes', count(*) FROM workspaces_statechange
    UNION ALL SELECT 'operations', count(*) FROM operations_operation
    UNION ALL SELECT 'reservations', count(*) FROM budgets_reservation
"""

Thing = TypeVar("Thing")


@dataclass
class Budgets:
    """Two budgets with room for everything, the people who launch, and what one machine needs in each budget."""

    world: World
    people: list[User]
    budget_ids: list[UUID]
    intent: Intent
    needed: Decimal
    admissions: int

    def mine(self) -> Run:
        """Admit by the launch's own steps."""
        return self._run(self._admit)

    def bare(self) -> Run:
        """Admit by the bare lock."""
        return self._run(self._admit_barely)

    def verify(self) -> dict[str, Any]:
        """What each budget says is reserved is what its reservations hold: the same for every machine."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT b.reserved, count(*), sum(r.remaining), min(r.remaining), max(r.remaining)"
                " FROM budgets_budget b JOIN budgets_reservation r ON r.budget_id = b.id GROUP BY b.id"
            )
            rows = cursor.fetchall()
        machines = WorkSpace.objects.count()
        right = (self.needed * machines, machines, self.needed * machines, self.needed, self.needed)
        if rows != [right] * len(self.budget_ids):
            raise UnequalWork(f"budgets hold {rows}, should hold {right}")
        launches = [self.world.spec(owner=person.email) for person in self.people]
        lead = worlds.actor(User.objects.get(pk=self.world.lead.pk))
        now = timezone.now()
        seconds = rush(lambda spec: services.launch(actor=lead, spec=spec, now=now), launches)
        whole = round(len(launches) / seconds, 2)
        return {"threads": THREADS, "admitted": machines, "whole_launches_per_second": whole}

    def _run(self, admit: Callable[[Intent], None]) -> Run:
        intents = [
            replace(self.intent, workspace_id=uuid7(), operation_id=uuid7(), correlation_id=uuid7())
            for _ in range(self.admissions)
        ]
        before = _written()
        seconds = rush(admit, intents)
        wrote = {name: count - before[name] for name, count in _written().items()}
        return Run(seconds, wrote["workspaces"], wrote)

    def _admit(self, intent: Intent) -> None:
        with transaction.atomic():
            launching.lock_scopes_of_intent(intent)
            launching.ask_guards(intent, dry_run=False)
            _write(intent, self.world.account)

    def _admit_barely(self, intent: Intent) -> None:
        with transaction.atomic():
            bare.reserve(intent, budget_ids=self.budget_ids, needed=self.needed, now=intent.now)
            _write(intent, self.world.account)


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """A world with a budget for its team and one for its organization."""
    world = worlds.build()
    now = timezone.now()
    month = month_of(now)
    budgets = [
        factories.BudgetFactory(
            organization=world.organization,
            scope=scope,
            scope_id=scope_id,
            amount=10**9,
            period_start=month,
            period_end=next_month(month),
            adopted_at=month,
        )
        for scope, scope_id in (("TEAM", world.team.id), ("ORGANIZATION", world.organization.id))
    ]
    count = of_size(size, ADMISSIONS)
    people = worlds.engineers(world, count)
    engineer = User.objects.get(pk=world.engineer.pk)
    intent = resolve_launch(actor=worlds.actor(engineer), spec=world.spec(), now=now).intent
    needed = Decimal(launching.ask_guards(intent, dry_run=True)["reservation"])
    sides = Budgets(world, people, sorted(budget.id for budget in budgets), intent, needed, count)
    yield Sides(mine=sides.mine, bare=sides.bare, verify=sides.verify)


def rush(work: Callable[[Thing], object], things: Sequence[Thing]) -> float:
    """`work` on all things by THREADS threads with open connections; the seconds until the last is done."""
    gate = threading.Barrier(THREADS + 1)

    def run(share: Sequence[Thing]) -> None:
        try:
            connections["default"].ensure_connection()
            gate.wait()
            for thing in share:
                work(thing)
            gate.wait()
        except BaseException:
            gate.abort()
            raise
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(run, things[number::THREADS]) for number in range(THREADS)]
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait()
            began = time.perf_counter()
            gate.wait()
            return time.perf_counter() - began
        faults = [future.exception() for future in running]
    raise next(fault for fault in faults if not isinstance(fault, threading.BrokenBarrierError | None))


def _write(intent: Intent, account: ProviderAccount) -> None:
    """The rows of an admitted launch; the directory user is made up, as one person has one machine."""
    machine = WorkSpace.objects.create(
        id=intent.workspace_id,
        organization=intent.organization,
        owner=intent.owner,
        team=intent.team,
        project=intent.project,
        name=f"machine {intent.workspace_id}",
        bundle_type=intent.bundle_type,
        operating_system=intent.operating_system,
        running_mode=intent.running_mode,
        blueprint=intent.blueprint,
        root_volume_gb=intent.root_volume_gb,
        user_volume_gb=intent.user_volume_gb,
        state="PENDING",
        state_since=intent.now,
        created_at=intent.now,
        provider_account=account,
        directory_id=account.directory_id,
        directory_user=str(intent.workspace_id),
        region=intent.region,
        next_action="terminate",
        next_action_at=intent.lifetime_end,
    )
    record_change(workspace=machine, source=None, occurred_at=intent.now, reason="bench", actor=intent.actor)
    Operation.objects.create(
        id=intent.operation_id,
        organization_id=intent.organization.id,
        actor_id=intent.owner.id,
        kind="workspace.launch",
        target_type="WorkSpace",
        target_id=intent.workspace_id,
        correlation_id=intent.correlation_id,
        next_attempt_at=intent.now,
        created_at=intent.now,
    )


def _written() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN)
        return dict(cursor.fetchall())


def month_of(at: datetime) -> datetime:
    """The beginning of the month in UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """The beginning of the month after."""
    return (month + timedelta(days=32)).replace(day=1)


BENCHMARK = Benchmark(name="admission_vs_bare_lock", goal=0.5, prepare=prepare, is_rate=True)
