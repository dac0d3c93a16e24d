"""Machines past their lifetime: what they go on to cost is held, foreseen, topped up and asked for."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import DateTimeField, Value
from django.db.models.functions import Least

from budgets import guards
from budgets.adoption import adopt
from budgets.models import Budget
from costs import metering
from costs.dues import LivesUntil
from costs.forecasts import fees_ahead
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree, figures
from tests.budgets.test_moves import HOUR, budget_of, held, machine_of, move, team_of
from workspaces.models import WorkSpace
from workspaces.models.machines import NEVER

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

DAY = timedelta(days=1)
ENDS = MARCH + 30 * DAY
FEE = Decimal(35)
WAYS = {
    "kept alive for a time": {"keep_alive": True, "keep_alive_until": MAY},
    "kept alive without an end": {"keep_alive": True},
    "kept alive once": {"keep_alive": True, "keep_alive_until": MARCH + 31 * DAY},
    "rules paused or put off": {},
}


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def living_on(world, way, **facts):
    """An AlwaysOn machine, so one of which fees alone are charged, with a lifetime to the 31st of March."""
    terms = WAYS[way] | ({"keep_alive_reason": "a long run"} if WAYS[way] else {})
    return machine_of(world, world.person(), max_lifetime_days=30, running_mode="ALWAYS_ON", **terms | facts)


def in_april(world, team, amount=1000, **facts):
    return budget_of(world, "TEAM", team.id, amount, period_start=APRIL, period_end=MAY, **facts)


def foreseen(world, machine, now, until=MAY):
    machines = WorkSpace.objects.filter(pk=machine.pk)
    return fees_ahead(machines, organization=world.organization, since=now, until=until, now=now)


@pytest.mark.parametrize("way", WAYS)
def test_adoption_holds_and_a_forecast_foresees_the_whole_period(world, way):
    machine = living_on(world, way)
    metering.meter(now=APRIL)
    budget = in_april(world, world.team, adopted_at=None)
    at = APRIL + DAY + HOUR
    adopt(budget_id=budget.id, now=at)
    assert figures(budget) == (0, FEE)
    assert foreseen(world, machine, APRIL + DAY) == round(FEE * 29 / 30, 6)
    metering.meter(now=MAY - HOUR)
    assert sum(figures(budget)) == FEE
    assert_sums_agree()


def test_a_keep_alive_that_ends_within_the_period_bounds_both(world):
    machine = living_on(world, "kept alive for a time", keep_alive_until=APRIL + 15 * DAY)
    metering.meter(now=APRIL)
    budget = in_april(world, world.team, adopted_at=None)
    adopt(budget_id=budget.id, now=APRIL)
    assert figures(budget) == (0, FEE / 2)
    assert foreseen(world, machine, APRIL) == FEE / 2


@pytest.mark.parametrize("way", WAYS)
def test_metering_tops_up_once_the_lifetime_is_over(world, way):
    machine = living_on(world, "rules paused or put off")
    budget = budget_of(world, "TEAM", world.team.id, adopted_at=None)
    adopt(budget_id=budget.id, now=MARCH)
    assert figures(budget) == (0, round(FEE * 30 / 31, 6))
    WorkSpace.objects.filter(pk=machine.pk).update(**WAYS[way])
    metering.meter(now=ENDS)
    metering.meter(now=ENDS + HOUR)
    assert sum(figures(budget)) == FEE
    assert_sums_agree()


@pytest.mark.parametrize("way", WAYS)
def test_a_move_asks_for_it(world, way):
    machine = living_on(world, way)
    other = team_of(world, machine.owner)
    at = APRIL + DAY
    needed = round(FEE * 29 / 30, 6)
    metering.meter(now=at)
    budget = in_april(world, other, needed - Decimal("0.000001"))
    admin = world.person("admin")
    with pytest.raises(guards.BudgetExceeded) as refusal:
        move(admin, machine, at, team=other.slug)
    assert refusal.value.extra["needed"] == f"{needed:.6f}"
    Budget.objects.update(amount=needed)
    assert move(admin, machine, at, team=other.slug).figures["reservation"] == f"{needed:.6f}"
    metering.meter(now=MAY - HOUR)
    assert sum(figures(budget)) == needed


def test_a_machine_that_needs_nothing_when_it_moves_is_topped_up_when_it_does(world):
    machine = living_on(world, "rules paused or put off")
    other = team_of(world, machine.owner)
    at = ENDS - HOUR / 2
    metering.meter(now=at)
    budget = budget_of(world, "TEAM", other.id)
    assert move(world.person("admin"), machine, at, team=other.slug).figures["reservation"] == "0.000000"
    assert held(machine) == {budget.id: 0}
    metering.meter(now=ENDS + HOUR)
    assert sum(figures(budget)) == FEE - round(FEE * 30 / 31, 6)
    assert_sums_agree()


@pytest.mark.parametrize("now", [ENDS - HOUR, ENDS, APRIL + 3 * DAY])
@pytest.mark.parametrize("until", [None, MARCH, ENDS, APRIL])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_python_and_sql_say_the_same(world, now, until, keep_alive):
    machine = living_on(world, "rules paused or put off", keep_alive=keep_alive, keep_alive_until=until)
    latest = Least(LivesUntil(now), Value(NEVER, output_field=DateTimeField()))
    assert WorkSpace.objects.filter(pk=machine.pk).values_list(latest, flat=True).get() == machine.lives_until(now)
