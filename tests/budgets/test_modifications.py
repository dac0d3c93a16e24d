"""Modifications: the difference is reserved in every budget that binds, and given back if nothing comes of it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from budgets import guards, ledger
from budgets.models import Budget, Reservation
from budgets.rates import rate_of
from costs.pricing import fees_to_come
from tests.budgets.support import APRIL, MARCH, STANDARD, World, assert_sums_agree, figures, lock_scopes_of
from tests.budgets.threads import outcome, together
from workspaces.intents import RepairFirst

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

HALF = MARCH + timedelta(days=15, hours=12, minutes=30)


@pytest.fixture
def world():
    return World()


def becoming(world, machine, now=MARCH, **changes):
    return replace(world.intent(kind="modify", user=machine.owner, workspace=machine, now=now), **changes)


def modify(intent):
    with transaction.atomic():
        lock_scopes_of(intent)
        return guards.reserve(intent, dry_run=False)


def price_of(bundle_type, running_mode="AUTO_STOP"):
    return rate_of(
        organization=World().organization, region="us-east-1", bundle_type=bundle_type, operating_system="LINUX",
        running_mode=running_mode, storage_gb=130, now=MARCH,
    )  # fmt: skip


def difference(before, after, now, hours=40):
    """By hand: fees of the hours that begin after now, and 40 hours' price."""
    fees = fees_to_come(after.fee, now, APRIL) - fees_to_come(before.fee, now, APRIL)
    return max(fees + hours * (after.hourly - before.hourly), Decimal(0))


@pytest.mark.parametrize("now", [MARCH, HALF])
def test_a_larger_bundle_reserves_the_difference_in_each_budget(world, now):
    machine = world.running()
    team, whole = world.budget("TEAM", 1000), world.budget("ORGANIZATION", 1000)
    answer = modify(becoming(world, machine, now, bundle_type="PERFORMANCE"))
    expected = difference(price_of("STANDARD"), price_of("PERFORMANCE"), now)
    assert expected > 0
    assert answer["reservation"] == f"{expected:.6f}"
    assert figures(team) == figures(whole) == (0, expected)
    assert_sums_agree()


def test_it_is_added_to_what_the_machine_holds(world):
    budget = world.budget(amount=1000)
    machine = world.running()
    modify(becoming(world, machine, bundle_type="PERFORMANCE"))
    held = Reservation.objects.get(budget=budget, workspace=machine)
    assert held.remaining == STANDARD + difference(price_of("STANDARD"), price_of("PERFORMANCE"), MARCH)


def test_exactly_full_is_admitted_and_a_millionth_less_is_not(world):
    machine = world.running()
    needed = difference(price_of("STANDARD"), price_of("PERFORMANCE"), MARCH)
    budget = world.budget(amount=needed - Decimal("0.000001"))
    with pytest.raises(guards.BudgetExceeded) as refusal:
        modify(becoming(world, machine, bundle_type="PERFORMANCE"))
    assert refusal.value.extra["needed"] == f"{needed:.6f}"
    assert figures(budget) == (0, 0)
    Budget.objects.update(amount=needed)
    modify(becoming(world, machine, bundle_type="PERFORMANCE"))
    assert figures(budget) == (0, needed)


def test_a_smaller_bundle_is_never_refused(world):
    machine = world.running(bundle_type="PERFORMANCE")
    budget = world.budget(amount=1, spent=Decimal(50))
    answer = modify(becoming(world, machine, bundle_type="STANDARD", root_volume_gb=80, user_volume_gb=100))
    assert answer["reservation"] == "0.000000"
    assert figures(budget) == (50, 0)


def test_to_alwayson_the_fee_of_autostop_stays_owed(world):
    machine, budget = world.running(), world.budget(amount=1000)
    answer = modify(becoming(world, machine, HALF, running_mode="ALWAYS_ON"))
    hourly, monthly = price_of("STANDARD"), price_of("STANDARD", "ALWAYS_ON")
    expected = max(fees_to_come(monthly.fee, HALF, APRIL) - 40 * hourly.hourly, Decimal(0))
    assert answer["reservation"] == f"{expected:.6f}"
    assert figures(budget) == (0, expected)


def test_to_autostop_nothing_changes_before_the_months_end(world):
    machine, budget = world.running(running_mode="ALWAYS_ON"), world.budget(amount=1, spent=Decimal(5))
    assert modify(becoming(world, machine, HALF, running_mode="AUTO_STOP"))["reservation"] == "0.000000"
    assert figures(budget) == (5, 0)


def test_a_dry_run_gives_the_same_figures_and_writes_nothing(world):
    machine, budget = world.running(), world.budget(amount=1000)
    intent = becoming(world, machine, bundle_type="PERFORMANCE")
    dry = guards.reserve(intent, dry_run=True)
    assert figures(budget) == (0, 0)
    assert modify(intent) == dry


def test_a_budget_that_is_not_adopted_is_repaired_first(world):
    machine = world.running()
    world.budget(amount=1000, adopted_at=None)
    with pytest.raises(RepairFirst):
        modify(becoming(world, machine, bundle_type="PERFORMANCE"))


def test_of_many_at_once_as_many_are_admitted_as_the_budget_holds(world):
    machines = [world.running() for _ in range(12)]
    needed = difference(price_of("STANDARD"), price_of("PERFORMANCE"), MARCH)
    budget = world.budget(amount=5 * needed)
    intents = [becoming(world, machine, bundle_type="PERFORMANCE") for machine in machines]
    admitted = together(outcome(guards.BudgetExceeded, modify), intents, at_once=12)
    assert sum(admitted) == 5
    assert figures(budget) == (0, 5 * needed)
    assert_sums_agree()


def test_what_was_held_is_given_back_but_not_what_is_spent(world):
    budget = world.budget(amount=1000)
    machine = world.running()
    answer = modify(becoming(world, machine, bundle_type="PERFORMANCE"))
    held = {answer["budgets"][0]["id"]: answer["budgets"][0]["needed"]}
    with transaction.atomic():
        assert ledger.give_back(workspace_id=machine.pk, held=held) == Decimal(answer["reservation"])
    assert figures(budget) == (0, STANDARD)
    Reservation.objects.update(remaining=Decimal(1))
    Budget.objects.update(reserved=Decimal(1))
    with transaction.atomic():
        assert ledger.give_back(workspace_id=machine.pk, held=held) == 1
    assert figures(budget) == (0, 0)
    assert_sums_agree()


def test_after_the_machine_was_released_nothing_is_given_back(world):
    budget = world.budget(amount=1000)
    machine = world.running()
    answer = modify(becoming(world, machine, bundle_type="PERFORMANCE"))
    with transaction.atomic():
        ledger.release(workspaces=[machine], actor=None, now=MARCH)
        held = {answer["budgets"][0]["id"]: answer["budgets"][0]["needed"]}
        assert ledger.give_back(workspace_id=machine.pk, held=held) == 0
    assert figures(budget) == (0, 0)
