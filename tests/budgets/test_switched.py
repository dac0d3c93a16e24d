"""Machines switched within the month: what is held for them, foreseen and given back is what metering charges."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from budgets import guards
from budgets.adoption import adopt, foresee
from budgets.foresight import outlook
from budgets.making_room import suggestions
from budgets.models import Budget, Reservation
from costs import metering
from costs.dues import dues_of, kinds_of, modes_of
from costs.forecasts import fees_ahead, prices_of
from costs.pricing import HOUR, hour_up
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree
from tests.budgets.test_modifications import becoming, modify
from tests.budgets.test_moves import adopted, budget_of, machine_of, move, team_of
from workspaces import transitions
from workspaces.lifecycle import State
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
SWITCHED = MARCH + timedelta(days=2, hours=9, minutes=30)
AT = SWITCHED + timedelta(days=1)
FROM_AT = Decimal(744 - 82) / 744
"""The part of March that is left from the first full hour after AT on."""
ALWAYS_ON, AUTO_STOP = Decimal(35), Decimal("9.75")
MODES = ("AUTO_STOP", "ALWAYS_ON")


@pytest.fixture
def world():
    metering.ensure_months(MARCH, JUNE)
    return World()


@pytest.fixture
def admin(world):
    return world.person("admin")


def resting(world, mode):
    """One that ran for five hours and rests since, so that from then on only fees are charged."""
    history = [(MARCH, "PENDING"), (MARCH, "AVAILABLE"), (MARCH + timedelta(hours=5), "STOPPED")]
    return machine_of(world, world.person(), history=history, running_mode=mode)


def switch(machine, mode, now):
    """As the answer of AWS to a modification does it."""
    metering.meter(now=now)
    machine.refresh_from_db()
    machine.running_mode, machine.configured_at = mode, now
    machine.save()


def switched(world, *modes):
    """A machine that goes from mode to mode, an hour after the other, and is metered to AT."""
    machine = resting(world, modes[0])
    for hours, mode in enumerate(modes[1:]):
        switch(machine, mode, SWITCHED + timedelta(hours=hours))
    metering.meter(now=AT)
    return machine


def again(budget):
    budget.refresh_from_db()
    return budget


def taken(budget):
    budget.refresh_from_db()
    return budget.spent + budget.reserved


WAYS = {
    ("ALWAYS_ON", "AUTO_STOP"): [ALWAYS_ON],
    ("AUTO_STOP", "ALWAYS_ON"): [ALWAYS_ON, AUTO_STOP],
    ("AUTO_STOP", "ALWAYS_ON", "AUTO_STOP"): [ALWAYS_ON, AUTO_STOP],
    ("ALWAYS_ON", "AUTO_STOP", "ALWAYS_ON"): [ALWAYS_ON],
}
"""Modes of a month, and the monthly fees that are owed to its end."""


def owed(modes):
    return sum(round(fee * FROM_AT, 6) for fee in WAYS[modes])


@pytest.mark.parametrize("modes", WAYS)
def test_a_move_needs_the_fees_of_the_month_and_is_held_to_them(world, admin, modes):
    machine = switched(world, *modes)
    other = team_of(world, machine.owner)
    budget = budget_of(world, "TEAM", other.id, owed(modes) - Decimal("0.000001"))
    with pytest.raises(guards.BudgetExceeded) as refusal:
        move(admin, machine, AT, team=other.slug)
    assert refusal.value.extra["needed"] == f"{owed(modes):.6f}"
    Budget.objects.update(amount=owed(modes))
    dry = move(admin, machine, AT, team=other.slug, dry_run=True).figures
    assert move(admin, machine, AT, team=other.slug).figures == dry
    assert taken(budget) == owed(modes)
    metering.meter(now=APRIL)
    budget.refresh_from_db()
    assert (budget.spent, budget.reserved) == (owed(modes), 0)
    assert_sums_agree()


@pytest.mark.parametrize("modes", WAYS)
def test_a_budget_made_late_holds_them(world, modes):
    switched(world, *modes)
    budget = adopted(world, "TEAM", world.team.id, now=AT)
    assert again(budget).reserved == owed(modes)
    total = taken(budget)
    metering.meter(now=APRIL)
    assert (taken(budget), budget.reserved) == (total, 0)


@pytest.mark.parametrize("modes", WAYS)
def test_metering_tops_up_to_them_whoever_switched(world, modes):
    machine = resting(world, modes[0])
    budget = adopted(world, "TEAM", world.team.id, now=MARCH + timedelta(hours=6))
    for hours, mode in enumerate(modes[1:]):
        switch(machine, mode, SWITCHED + timedelta(hours=hours))
    metering.meter(now=AT)
    assert again(budget).reserved >= owed(modes)
    assert_sums_agree()
    total = taken(budget)
    metering.meter(now=APRIL)
    assert again(budget).spent <= total


@pytest.mark.parametrize("ends", [APRIL, JUNE])
@pytest.mark.parametrize("modes", [*WAYS, ("AUTO_STOP",), ("ALWAYS_ON",)])
def test_metering_tops_up_to_exactly_the_dues_of_every_month(world, modes, ends):
    """A budget that the switch has left with nothing held; the next hour that is metered fills it up."""
    machine = switched(world, *modes)
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=ends, adopted_at=None)
    adopt(budget_id=budget.id, now=AT)
    Reservation.objects.update(remaining=0)
    Budget.objects.update(reserved=0)
    at = AT + HOUR
    metering.meter(now=at)
    machine.refresh_from_db()
    kind = (machine.service_type, machine.region, machine.bundle_type, machine.operating_system, machine.running_mode)
    by = modes_of(machine, now=at)
    prices = prices_of(kinds_of(kind, by), organization=world.organization, now=at)
    dues = dues_of(kind, by, machine.root_volume_gb + machine.user_volume_gb, prices, now=at)
    bound = min(ends, machine.lifetime_end)
    assert again(budget).reserved == dues.fees_between(hour_up(at), hour_up(bound)) + dues.running(at, bound, 40)
    assert again(budget).reserved == foresee(budget_id=budget.id, now=at)[1]
    assert_sums_agree()


@pytest.mark.parametrize("modes", WAYS)
def test_a_forecast_foresees_them(world, modes):
    switched(world, *modes)
    budget = adopted(world, "TEAM", world.team.id, now=AT)
    assert outlook(again(budget), now=AT).fees == owed(modes)


def test_after_the_month_the_mode_of_now_counts_alone(world):
    """By hand: the rest of March's AlwaysOn, April's AutoStop, and 40 hours of running, which only April charges."""
    machine = switched(world, "ALWAYS_ON", "AUTO_STOP")
    expected = round(ALWAYS_ON * FROM_AT, 6) + AUTO_STOP
    machines = WorkSpace.objects.filter(pk=machine.pk)
    foreseen = fees_ahead(machines, organization=world.organization, since=AT, until=MAY, now=AT)
    assert foreseen == expected
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=MAY, adopted_at=None)
    adopt(budget_id=budget.id, now=AT)
    assert again(budget).reserved == expected + 40 * Decimal("0.30")


@pytest.mark.parametrize("ends", [APRIL, MAY])
@pytest.mark.parametrize("modes", WAYS)
def test_making_room_says_what_an_end_gives_back(world, admin, modes, ends):
    machine = switched(world, *modes)
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=ends, adopted_at=None)
    adopt(budget_id=budget.id, now=AT)
    said = suggestions(budget_id=budget.id, user=admin, now=AT)
    before = taken(budget)
    with transaction.atomic():
        transitions.lock_scopes_of(machine.pk)
        transitions.move(
            workspace=transitions.lock_machine(machine.pk), target=State.TERMINATED, occurred_at=AT, reason="test",
            actor=Actor.job("test"), now=AT,
        )  # fmt: skip
    freed = before - taken(budget)
    assert [row["frees"] for row in said] == ([f"{freed:.6f}"] if freed else [])
    assert bool(freed) == (ends == MAY)


def test_back_to_alwayson_in_the_same_month_costs_nothing_more(world):
    machine = switched(world, "ALWAYS_ON", "AUTO_STOP")
    budget = adopted(world, "TEAM", world.team.id, now=AT)
    Budget.objects.update(amount=taken(budget))
    assert modify(becoming(world, machine, AT, running_mode="ALWAYS_ON"))["reservation"] == "0.000000"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.sampled_from(MODES),
    hours=st.lists(st.integers(6, 700), max_size=4, unique=True).map(sorted),
    later=st.integers(0, 40),
    how=st.sampled_from(["move", "adopt"]),
)
def test_whatever_switches_an_admission_holds_what_the_month_ends_at(world, admin, first, hours, later, how):
    machine = resting(world, first)
    for hour in hours:
        mode = MODES[machine.running_mode == MODES[0]]
        switch(machine, mode, MARCH + timedelta(hours=hour, minutes=20))
    at = MARCH + timedelta(hours=(hours or [6])[-1] + later, minutes=40)
    metering.meter(now=at)
    other = team_of(world, machine.owner)
    budget = budget_of(world, "TEAM", other.id)
    if how == "move":
        move(admin, machine, at, team=other.slug)
    else:
        WorkSpace.objects.filter(pk=machine.pk).update(team=other)
        Budget.objects.filter(pk=budget.pk).update(adopted_at=None)
        adopt(budget_id=budget.id, now=at)
    total = taken(budget)
    metering.meter(now=APRIL)
    assert again(budget).spent <= total
    assert_sums_agree()
