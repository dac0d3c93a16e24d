"""Starts: refused for money only where a budget says so, and then held there under the budget's lock."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from budgets import guards
from budgets.models import Budget, Reservation
from costs.pricing import fees_to_come
from tests.budgets.support import APRIL, MARCH, STANDARD, World, assert_sums_agree, figures, lock_scopes_of
from tests.budgets.threads import outcome, together
from workspaces.intents import RepairFirst
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

SOON = Decimal("9.75") + 8 * Decimal("0.30")
"""What a STANDARD machine will soon need on the first of a month: its fees, and eight hours."""


@pytest.fixture
def world():
    return World()


@pytest.fixture
def stopped(world):
    user = world.person()
    machine = world.running(user=user)
    WorkSpace.objects.filter(pk=machine.pk).update(state="STOPPED")
    return machine


def start(world, machine, now=MARCH):
    intent = world.intent(kind="start", user=machine.owner, workspace=machine, now=now)
    with transaction.atomic():
        lock_scopes_of(intent)
        return guards.reserve(intent, dry_run=False)


def test_a_start_is_not_refused_for_money_by_default(world, stopped):
    budget = world.budget(amount=10, spent=Decimal(50))
    answer = start(world, stopped)
    assert answer["reservation"] == "0.000000"
    assert answer["budgets"][0]["after"] == "50.000000"
    assert figures(budget) == (50, 0)


def test_a_budget_that_blocks_starts_refuses_one_that_it_cannot_hold(world, stopped):
    world.budget(amount=10, spent=Decimal(10), on_limit="BLOCK_STARTS")
    with pytest.raises(guards.BudgetExceeded) as refusal:
        start(world, stopped)
    assert refusal.value.extra["needed"] == f"{SOON:.6f}"


def test_a_machine_that_holds_enough_starts_though_the_budget_has_no_room_left(world):
    user = world.person()
    budget = world.budget(amount=STANDARD, on_limit="BLOCK_STARTS")
    machine = world.running(user=user)
    assert figures(budget) == (0, STANDARD)
    assert start(world, machine)["budgets"][0]["after"] == "21.750000"
    assert figures(budget) == (0, STANDARD)


def test_the_hour_that_runs_is_booked_and_not_asked_for_again(world):
    """A machine that holds the fees to come and eight hours starts in the middle of an hour, however full it is."""
    now = MARCH + timedelta(days=3, minutes=30)
    budget = world.budget(amount=1000, on_limit="BLOCK_STARTS")
    machine = world.running()
    soon = fees_to_come(Decimal("9.75"), now, APRIL) + 8 * Decimal("0.30")
    hold(machine, budget, soon, spent=Decimal(1000) - soon)
    assert start(world, machine, now)["budgets"][0]["needed"] == "0.000000"
    hold(machine, budget, soon - Decimal("0.000001"), spent=Decimal(1000) - soon + Decimal("0.000001"))
    with pytest.raises(guards.BudgetExceeded) as refusal:
        start(world, machine, now)
    assert refusal.value.extra["needed"] == "0.000001"


def hold(machine, budget, remaining, *, spent=Decimal(0)):
    """Let the machine hold this in the budget, as after months of running."""
    Reservation.objects.filter(workspace=machine, budget=budget).update(amount=remaining, remaining=remaining)
    held = sum(Reservation.objects.live().filter(budget=budget).values_list("remaining", flat=True))
    Budget.objects.filter(pk=budget.pk).update(spent=spent, reserved=held)


def test_a_start_holds_what_it_will_soon_need_in_a_budget_that_blocks_starts(world):
    strict, lax = world.budget(amount=100, on_limit="BLOCK_STARTS"), world.budget("ORGANIZATION", 100)
    machine = world.running()
    for budget in (strict, lax):
        hold(machine, budget, Decimal(2))
    answer = start(world, machine)
    assert figures(strict) == (0, SOON)
    assert figures(lax) == (0, 2)
    assert Decimal(answer["reservation"]) == SOON - 2
    assert {row["scope"]: row["needed"] for row in answer["budgets"]} == {
        "TEAM": f"{SOON - 2:.6f}",
        "ORGANIZATION": "0.000000",
    }
    assert_sums_agree()
    assert start(world, machine)["reservation"] == "0.000000"


def test_a_dry_run_of_a_start_neither_locks_nor_writes(world):
    world.budget(amount=100, on_limit="BLOCK_STARTS")
    machine = world.running()
    hold(machine, Budget.objects.get(), Decimal(2))
    intent = world.intent(kind="start", user=machine.owner, workspace=machine)
    with CaptureQueriesContext(connection) as queries:
        foreseen = guards.reserve(intent, dry_run=True)
    assert not any(word in query["sql"] for query in queries for word in ("FOR ", "INSERT", "UPDATE"))
    with transaction.atomic():
        assert guards.reserve(intent, dry_run=False) == foreseen


def test_of_many_starts_at_once_those_pass_that_the_budget_holds(world, scale):
    for _ in range(scale(10, 2)):
        world = World(world.organization)
        machines = [world.running() for _ in range(8)]
        budget = world.budget(amount=3 * SOON, on_limit="BLOCK_STARTS")
        started = outcome(guards.BudgetExceeded, lambda machine, world=world: start(world, machine))
        assert sum(together(started, machines)) == 3
        assert figures(budget) == (0, 3 * SOON)
    assert_sums_agree()


@pytest.mark.parametrize("on_limit", ["BLOCK_LAUNCHES", "BLOCK_STARTS"])
def test_a_start_that_meets_a_budget_to_adopt_asks_for_the_repair_first(world, on_limit):
    machine = world.running()
    budget = world.budget(amount=100, adopted_at=None, on_limit=on_limit)
    with pytest.raises(RepairFirst) as request:
        start(world, machine)
    assert figures(budget) == (0, 0)
    request.value.repair()
    start(world, machine)
    assert figures(budget) == (0, STANDARD)
