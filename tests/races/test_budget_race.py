"""Many people launch at once against a budget with room for few; metering runs beside launches without a deadlock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.utils import timezone

from budgets.guards import BudgetExceeded
from budgets.models import Budget, Reservation
from costs.metering import meter
from costs.models import CostRecord
from forge.operations.runner import run_due
from tests import factories
from tests import world as worlds
from tests.races.threads import at_once
from tests.world import World, actor, engineers
from workspaces import services
from workspaces.models import WorkSpace

ROOM = 10


def month_of(now: datetime) -> tuple[datetime, datetime]:
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def budget_for(world: World, scope: str, scope_id, amount: Decimal, now: datetime) -> Budget:
    start, end = month_of(now)
    return factories.BudgetFactory(
        organization=world.organization,
        scope=scope,
        scope_id=scope_id,
        amount=amount,
        period_start=start,
        period_end=end,
        adopted_at=now,
    )


@pytest.mark.soak
@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_of_many_launches_at_once_exactly_those_are_admitted_that_the_budget_holds(simulator, scale):
    for _ in range(scale(20, 1)):
        rush(worlds.build())


def rush(world: World, people_count: int = 200) -> None:
    """Launch for everybody at once against a team budget with room for ROOM machines."""
    people = engineers(world, people_count)
    now = timezone.now()
    budget = budget_for(world, "TEAM", world.team.id, Decimal(10_000), now)
    dry_run = services.launch(actor=actor(people[0]), spec=world.spec(), now=now, dry_run=True)
    needed = Decimal(dry_run.figures["reservation"])
    Budget.objects.filter(pk=budget.pk).update(amount=needed * ROOM)

    outcomes = at_once(lambda user: services.launch(actor=actor(user), spec=world.spec(), now=now), people)

    assert Counter(type(outcome) for outcome in outcomes) == {
        services.LaunchAnswer: ROOM,
        BudgetExceeded: len(people) - ROOM,
    }
    budget.refresh_from_db()
    assert budget.reserved == needed * ROOM == budget.amount
    assert WorkSpace.objects.filter(team=world.team).count() == ROOM
    assert Reservation.objects.filter(budget=budget).count() == ROOM
    refused = next(outcome for outcome in outcomes if isinstance(outcome, BudgetExceeded))
    assert Decimal(refused.extra["needed"]) == needed
    assert Decimal(refused.extra["limit"]) == needed * ROOM


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_metering_three_times_beside_launches_never_deadlocks(world, scale, simulator):
    seconds = scale(30, 5)
    people = engineers(world, 400)
    now = timezone.now()
    for scope, scope_id in (("TEAM", world.team.id), ("ORGANIZATION", world.organization.id)):
        budget_for(world, scope, scope_id, Decimal(1_000_000), now)
    stop = threading.Event()
    faults: list[Exception] = []
    done: Counter[str] = Counter()
    clock = [now]

    def repeatedly(name, work):
        def run():
            try:
                while not stop.is_set():
                    work()
                    done[name] += 1
            except Exception as error:  # noqa: BLE001  (any fault at all fails the test)
                faults.append(error)
            finally:
                connections.close_all()

        return threading.Thread(target=run, name=name)

    queue = iter(people)
    taking = threading.Lock()

    def launch_next():
        with taking:
            user = next(queue, None)
        if user is None:
            stop.wait(0.1)
            return
        services.launch(actor=actor(user), spec=world.spec(), now=timezone.now())

    def advance_and_meter():
        clock[0] += timedelta(minutes=20)
        meter(now=clock[0])

    threads = [repeatedly("launch", launch_next) for _ in range(4)]
    threads += [repeatedly("work", lambda: run_due(limit=20)) for _ in range(2)]
    threads += [repeatedly("meter", advance_and_meter) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    patience = deadline + 120  # on a busy machine the counts below take longer than the time given

    def enough() -> bool:
        counted = done["meter"] >= 3 and done["launch"] >= 10 and CostRecord.objects.exists()
        return counted and time.monotonic() > deadline

    while not enough() and time.monotonic() < patience and not faults:
        stop.wait(0.2)
    stop.set()
    for thread in threads:
        thread.join(timeout=60)
    assert not faults, faults
    assert done["meter"] >= 3
    assert done["launch"] >= 10
    assert CostRecord.objects.exists()
    for budget in Budget.objects.all():
        held = sum(Reservation.objects.filter(budget=budget).values_list("remaining", flat=True))
        # The clock of the meters may run into the next month, which this budget does not hold.
        of_the_month = CostRecord.objects.filter(
            period_start__gte=budget.period_start, period_start__lt=budget.period_end
        )
        spent = sum(of_the_month.values_list("total_cost", flat=True))
        assert (budget.reserved, budget.spent) == (held, spent)
