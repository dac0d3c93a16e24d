"""Machines that are TERMINATING: held and foreseen is what their end owes, the rest of the month, and nothing else."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from audit.actors import Actor
from budgets.adoption import adopt, foresee
from costs import metering
from costs.forecasts import fees_ahead
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree, figures
from tests.budgets.test_moves import HOUR, adopted, budget_of, held, machine_of
from tests.budgets.test_races import assert_spent_is_the_sum_of_the_records
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.transitions import lock_machine, lock_scopes_of, move

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

OVER = MARCH + timedelta(days=10)
FEE = Decimal(35)
REST = round(FEE * (744 - 241) / 744, 6)
"""By hand: the fees of March after the first hour of the 11th."""


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def bring(machine, target, at):
    with transaction.atomic():
        lock_scopes_of(machine.pk)
        row = lock_machine(machine.pk)
        move(workspace=row, target=target, occurred_at=at, reason="t", actor=Actor.job("t"), now=at)


def ending(world, **facts):
    """An AlwaysOn machine that is asked to end when its lifetime of ten days is over."""
    terms = {"running_mode": "ALWAYS_ON", "max_lifetime_days": 10} | facts
    machine = machine_of(world, world.person(), **terms)
    metering.meter(now=OVER)
    return machine


def foreseen(world, until=MAY, now=OVER + HOUR):
    machines = WorkSpace.objects.live().filter(organization=world.organization)
    return fees_ahead(machines, organization=world.organization, since=now, until=until, now=now)


@pytest.mark.parametrize("ends", [MAY, APRIL, MARCH + timedelta(days=15)])
def test_it_is_topped_up_to_the_rest_of_the_month_and_not_to_the_end_of_the_period(world, ends):
    machine = ending(world)
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=ends, adopted_at=None)
    adopt(budget_id=budget.id, now=OVER - HOUR / 2)
    bring(machine, State.TERMINATING, OVER)
    for at in (OVER + HOUR / 2, OVER + timedelta(days=2)):
        metering.meter(now=at)
        assert sum(figures(budget)) == FEE
    bring(machine, State.TERMINATED, OVER + timedelta(days=2, minutes=5))
    assert figures(budget) == (FEE, 0)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_one_whose_end_does_not_come_is_topped_up_month_by_month(world):
    """AWS goes on charging for it, and there is no way back: the next month is owed once it has begun."""
    machine = ending(world)
    budget = adopted(world, "TEAM", world.team.id, now=OVER)
    later = budget_of(world, "TEAM", world.team.id, period_start=APRIL, period_end=MAY, adopted_at=None)
    bring(machine, State.TERMINATING, OVER)
    metering.meter(now=APRIL)
    assert figures(budget) == (FEE, 0)
    adopt(budget_id=later.id, now=APRIL + HOUR / 2)
    assert figures(later) == (0, FEE)
    metering.meter(now=APRIL + timedelta(days=3))
    assert sum(figures(later)) == FEE
    assert_sums_agree()


@pytest.mark.parametrize("ends", [MAY, MARCH + timedelta(days=15)])
@pytest.mark.parametrize(("mode", "rest"), [("ALWAYS_ON", REST), ("AUTO_STOP", round(Decimal("9.75") * 503 / 744, 6))])
def test_a_budget_made_late_holds_what_its_end_owes_and_no_running(world, mode, rest, ends):
    machine = ending(world, running_mode=mode)
    bring(machine, State.TERMINATING, OVER)
    at = OVER + HOUR / 2
    metering.meter(now=at)
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=ends, adopted_at=None)
    expected = foresee(budget_id=budget.id, now=at)
    adopt(budget_id=budget.id, now=at)
    spent, reserved = figures(budget)
    assert (spent, reserved) == expected
    assert reserved == rest
    metering.meter(now=at + 5 * HOUR)
    assert sum(figures(budget)) == spent + reserved
    bring(machine, State.TERMINATED, at + 6 * HOUR)
    assert figures(budget) == (spent + reserved, 0)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_metering_and_adoption_hold_the_same(world):
    machine = ending(world, running_mode="AUTO_STOP")
    budget = adopted(world, "TEAM", world.team.id, now=OVER)
    bring(machine, State.TERMINATING, OVER)
    twin = budget_of(world, "ORGANIZATION", world.organization.id, adopted_at=None)
    at = OVER + HOUR / 2
    budget.reservations.update(remaining=0)
    type(budget).objects.filter(pk=budget.pk).update(reserved=0)
    metering.meter(now=at)
    adopt(budget_id=twin.id, now=at)
    assert figures(budget)[1] == figures(twin)[1] == round(Decimal("9.75") * 503 / 744, 6)


def test_a_forecast_foresees_the_rest_of_the_month_alone(world):
    machine = ending(world)
    assert foreseen(world) > REST, "past its lifetime it is foreseen to live on"
    bring(machine, State.TERMINATING, OVER)
    assert foreseen(world) == REST
    assert foreseen(world, until=MARCH + timedelta(days=15)) == REST


def test_one_that_was_never_there_owes_nothing(world):
    """Its launch was called off."""
    machine = WorkSpace.objects.get(pk=world.launch(user=world.person(), now=OVER).pk)
    bring(machine, State.TERMINATING, OVER + HOUR / 2)
    budget = budget_of(world, "TEAM", world.team.id, adopted_at=None)
    adopt(budget_id=budget.id, now=OVER + HOUR)
    assert figures(budget) == (0, 0)
    assert held(machine) == {budget.id: 0}
    assert foreseen(world) == 0
