"""What budgets hold for a machine follows its running mode, launched or taken over, switched by Forge or in AWS."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from budgets.adoption import foresee
from budgets.models import Budget, Reservation
from costs import metering
from costs.pricing import hour_of
from tests import factories
from tests.budgets.support import assert_sums_agree
from tests.workspaces.support import machine
from tests.workspaces.test_fleet import cloud, look, person
from tests.workspaces.test_reconcile import change_in_aws
from tests.world import actor
from workspaces import services
from workspaces.fleet import adopting
from workspaces.fleet.taking import Wish
from workspaces.models import UnmanagedMachine
from workspaces.reconcile import reconcile

__all__ = ["cloud"]

HOUR = timedelta(hours=1)
USED = 4 * Decimal("0.30")
"""Started hours that were paid out of what is held; they are filled up when less than eight are left."""


@pytest.fixture
def budget(world, clock):
    """Of the team, over several months."""
    start = hour_of(clock.now)
    return factories.BudgetFactory(
        organization=world.organization, scope="TEAM", scope_id=world.team.id, amount=10_000,
        period_start=start, period_end=start + timedelta(days=85), adopted_at=start,
    )  # fmt: skip


def launched(world, cloud, simulator, clock, mode):
    operation = services.launch(
        actor=actor(world.engineer), spec=world.spec(running_mode=mode), now=clock.now
    ).operation
    assert clock.finish(operation).status == "succeeded"


def taken_over(world, cloud, simulator, clock, mode):
    person(world, "ann")
    properties = {"RunningMode": mode} | ({"RunningModeAutoStopTimeoutInMinutes": 60} if mode == "AUTO_STOP" else {})
    cloud.launch("ann", WorkspaceProperties=properties)
    look(simulator, clock.now)
    found = UnmanagedMachine.objects.get()
    adopting.adopt(actor=actor(world.admin), machine_id=found.id, wish=Wish(), now=clock.now)


def by_forge(world, simulator, clock, mode):
    made = services.modify(
        actor=actor(world.admin), workspace_id=machine().pk, wanted={"running_mode": mode}, now=clock.now
    )
    assert clock.finish(made.operation).status == "succeeded"


def in_aws(world, simulator, clock, mode):
    simulator.control.advance(3600)
    change_in_aws(machine(), running_mode=mode)
    assert reconcile(now=clock.now)["drifted"] == 1


def held(budget, now):
    """What it holds for the machine, and what it would set aside for it if it began now: fees to come and 40 hours."""
    metering.meter(now=now)
    assert_sums_agree()
    return Budget.objects.get(pk=budget.pk).reserved, foresee(budget_id=budget.pk, now=now)[1]


@pytest.mark.parametrize("switch", [by_forge, in_aws])
@pytest.mark.parametrize("begin", [launched, taken_over])
def test_what_a_machine_needs_no_more_after_a_switch_to_autostop_is_given_back(
    world, cloud, simulator, clock, budget, begin, switch
):
    begin(world, cloud, simulator, clock, "ALWAYS_ON")
    clock.now += HOUR
    before, needed = held(budget, clock.now)
    assert before == needed
    switch(world, simulator, clock, "AUTO_STOP")
    after, needed = held(budget, clock.now)
    assert after == needed < before


@pytest.mark.parametrize("switch", [by_forge, in_aws])
@pytest.mark.parametrize("begin", [launched, taken_over])
def test_what_it_needs_more_after_a_switch_to_alwayson_is_set_aside(
    world, cloud, simulator, clock, budget, begin, switch
):
    begin(world, cloud, simulator, clock, "AUTO_STOP")
    clock.now += HOUR
    before, _ = held(budget, clock.now)
    switch(world, simulator, clock, "ALWAYS_ON")
    clock.now += HOUR
    after, needed = held(budget, clock.now)
    assert before < needed - USED <= after <= needed


@pytest.mark.parametrize("begin", [launched, taken_over])
def test_there_and_back_in_a_month_holds_what_the_month_charges(world, cloud, simulator, clock, budget, begin):
    begin(world, cloud, simulator, clock, "AUTO_STOP")
    for mode in ("ALWAYS_ON", "AUTO_STOP"):
        clock.now += HOUR
        in_aws(world, simulator, clock, mode)
    clock.now += HOUR
    after, needed = held(budget, clock.now)
    assert needed - USED <= after <= needed
    assert Reservation.objects.live().get().remaining == after
