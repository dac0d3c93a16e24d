"""Machines that became cheaper or came back, and what follows within the hour: nothing is held twice or too long."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import transaction

from audit.actors import Actor
from budgets import fitting, guards, leaving, ledger, services
from budgets.adoption import adopt, foresee
from budgets.fitting import fit
from budgets.making_room import suggestions
from budgets.models import Budget
from budgets.sweep import check_budgets
from costs import metering
from forge.accounts.models import Organization
from forge.operations.models import Operation
from tests import query_counts
from tests.budgets.support import APRIL, MARCH, assert_sums_agree, figures
from tests.budgets.test_leaving import JOB, MINUTE, TEN, assert_within, fill, shrink
from tests.budgets.test_modifications import becoming, modify
from tests.budgets.test_moves import (
    HALF_PAST,
    HOUR,
    admin,
    adopted,
    budget_of,
    end,
    held,
    machine_of,
    move,
    other,
    owner,
    stop,
    world,
)  # fmt: skip
from tests.budgets.test_races import assert_spent_is_the_sum_of_the_records
from tests.budgets.threads import together
from workspaces.transitions import lock_machine, lock_scopes_of

__all__ = ["admin", "other", "owner", "world"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

LATER = HALF_PAST + MINUTE
POWER, PERFORMANCE, STANDARD = Decimal(78), Decimal(50), Decimal(35)
"""The monthly fees of AlwaysOn."""
MODES = ("AUTO_STOP", "ALWAYS_ON")
SCOPES = ("USER", "TEAM", "PROJECT", "ORGANIZATION")


def rest(fee, hours=494):
    """By hand: what the last hours of March owe; 494 begin from 10:00 of the 11th on."""
    return round(fee * hours / 744, 6)


def power(world, owner, **facts):
    """A POWER machine, booked to half past nine."""
    machine = machine_of(world, owner, **{"bundle_type": "POWER", "running_mode": "ALWAYS_ON", **facts})
    metering.meter(now=HALF_PAST)
    return machine


def change(machine, now, **facts):
    """As the answer of AWS to a modification does it."""
    with transaction.atomic():
        lock_scopes_of(machine.pk)
        locked = lock_machine(machine.pk)
        for name, value in {**facts, "configured_at": now}.items():
            setattr(locked, name, value)
        locked.save()
        fit(workspace=locked, now=now)


def wanting(world, machine, bundle_type, now=LATER):
    return becoming(world, machine, now, bundle_type=bundle_type, running_mode=machine.running_mode)


def after_the_hour(minutes=1):
    """What metering and the sweep make of it; returns what was given back."""
    at = TEN + minutes * MINUTE
    metering.meter(now=at)
    return check_budgets(actor=JOB, now=at)["given_back"]


# -- Modified again ----------------------------------------------------------------------------------------------------


def test_a_modification_asks_for_nothing_that_is_kept(world, owner):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    before = figures(team)
    shrink(machine, HALF_PAST)
    fill(team)
    assert modify(wanting(world, machine, "PERFORMANCE"))["reservation"] == "0.000000"
    assert figures(team) == before
    change(machine, LATER + MINUTE, bundle_type="PERFORMANCE")
    assert figures(team) == before
    assert after_the_hour() == 1
    assert figures(team)[1] == rest(PERFORMANCE, 493)
    assert_sums_agree()


def test_a_modification_asks_for_what_is_needed_beyond_what_is_kept(world, owner):
    """Needed are POWER's fees to the tenth of April too, and kept only those of March."""
    machine = power(world, owner)
    team = budget_of(world, "TEAM", world.team.id, period_end=APRIL + timedelta(days=9), adopted_at=None)
    adopt(budget_id=team.id, now=HALF_PAST)
    before, april = figures(team), round(POWER * 216 / 720, 6)
    shrink(machine, HALF_PAST)
    assert figures(team)[1] == rest(POWER)
    fill(team, april)
    dry = guards.reserve(wanting(world, machine, "POWER"), dry_run=True)
    answer = modify(wanting(world, machine, "POWER"))
    assert answer == dry
    assert answer["reservation"] == f"{april:.6f}"
    assert figures(team) == before
    assert_sums_agree()


def test_a_machine_that_came_back_to_enough_asks_for_nothing_of_that_again(world, owner, admin, other):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    move(admin, machine, team=other.slug)
    move(admin, machine, team=world.team.slug)
    machine.refresh_from_db()
    fill(team)
    assert modify(wanting(world, machine, "PERFORMANCE"))["reservation"] == "0.000000"


def test_what_is_kept_goes_back_after_the_hour_though_a_dearer_modification_came_to_nothing(world, owner):
    machine = power(world, owner)
    team = budget_of(world, "TEAM", world.team.id, period_end=APRIL + timedelta(days=9), adopted_at=None)
    adopt(budget_id=team.id, now=HALF_PAST)
    shrink(machine, HALF_PAST)
    answer = modify(wanting(world, machine, "POWER"))
    with transaction.atomic():
        ledger.give_back(workspace_id=machine.pk, held={str(team.id): answer["reservation"]})
    assert figures(team)[1] == rest(POWER)
    assert after_the_hour() == 1
    assert figures(team)[1] == rest(STANDARD, 493) + round(STANDARD * 216 / 720, 6)
    assert_sums_agree()


@pytest.mark.parametrize("bundle_type", ["PERFORMANCE", "POWER"])
def test_while_a_modification_is_under_way_it_finds_what_it_was_admitted_with(world, owner, bundle_type):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    fill(team)
    intent = wanting(world, machine, bundle_type)
    modify(intent)
    operation = Operation.objects.create(
        id=intent.operation_id, organization_id=world.organization.id, actor_id=owner.id, kind=fitting.MODIFY,
        target_type="WorkSpace", target_id=machine.pk, correlation_id=intent.correlation_id, next_attempt_at=LATER,
    )  # fmt: skip
    metering.meter(now=TEN + MINUTE)
    before = figures(team)
    assert check_budgets(actor=JOB, now=TEN + MINUTE, dry_run=True)["given_back"] == 0
    assert after_the_hour() == 0
    assert figures(team) == before
    change(machine, TEN + 2 * MINUTE, bundle_type=bundle_type)
    ended = {"status": "succeeded", "finished_at": TEN + 2 * MINUTE, "next_attempt_at": None}
    Operation.objects.filter(pk=operation.pk).update(**ended)
    assert_within(team)
    fee = {"PERFORMANCE": PERFORMANCE, "POWER": POWER}[bundle_type]
    metering.meter(now=TEN + HOUR + MINUTE)
    check_budgets(actor=JOB, now=TEN + HOUR + MINUTE)
    assert figures(team)[1] == rest(fee, 492)
    assert_within(team)


# -- Budgets made late -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_metered", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_budget_that_is_made_late_keeps_what_the_end_of_one_that_became_cheaper_owes(world, owner, scope, is_metered):
    machine = machine_of(world, owner, bundle_type="POWER", running_mode="ALWAYS_ON")
    metering.meter(now=HALF_PAST if is_metered else TEN - HOUR - MINUTE)
    shrink(machine, HALF_PAST)
    late = budget_of(world, scope, world.scope_id(scope, owner), adopted_at=None)
    expected = foresee(budget_id=late.id, now=LATER)
    adopt(budget_id=late.id, now=LATER)
    assert figures(late) == expected
    assert held(machine, kept_until=TEN) == {late.id: rest(POWER)}
    fill(late)
    end(machine, LATER + MINUTE)
    assert_within(late)
    assert figures(late)[1] == 0
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_after_the_hour_it_holds_what_the_machine_needs(world, owner):
    machine = power(world, owner)
    shrink(machine, HALF_PAST)
    late = adopted(world, "TEAM", world.team.id, now=LATER)
    assert after_the_hour() == 1
    assert figures(late)[1] == rest(STANDARD, 493)
    assert held(machine, kept_until=None) == {late.id: rest(STANDARD, 493)}
    assert_sums_agree()


def test_switched_off_and_on_again_a_budget_keeps_it_anew(world, owner, admin):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    before = figures(team)
    for is_active in (False, True):
        services.change(actor=Actor.of_user(admin), budget_id=team.id, is_active=is_active, now=LATER)
    assert figures(team) == before
    assert held(machine, kept_until=TEN) == {team.id: rest(POWER)}


def test_of_one_that_became_dearer_it_holds_what_the_machine_needs(world, owner):
    machine = power(world, owner, bundle_type="STANDARD")
    change(machine, HALF_PAST, bundle_type="POWER")
    late = adopted(world, "TEAM", world.team.id, now=LATER)
    assert figures(late)[1] == rest(POWER)


def test_a_budget_of_a_period_that_is_over_keeps_nothing(world, owner, admin, other):
    machine = power(world, owner)
    late = budget_of(world, "TEAM", world.team.id, period_end=MARCH + timedelta(days=10), adopted_at=None)
    move(admin, machine, team=other.slug)
    adopt(budget_id=late.id, now=LATER)
    assert figures(late)[1] == 0


def test_what_they_keep_is_one_question_for_however_many_machines(world, owner, admin, other):
    kinds = [{"bundle_type": one, "running_mode": mode} for one in ("POWER", "PERFORMANCE") for mode in MODES]
    machines = [power(world, owner, **facts) for facts in [{}, *kinds]]
    late = budget_of(world, "TEAM", world.team.id, adopted_at=None)
    shrink(machines[0], HALF_PAST)
    ask = partial(leaving.claims, late, now=LATER)
    assert query_counts.hold("what a budget made late keeps", ask) == {machines[0].pk: rest(POWER)}
    for machine in machines[1:3]:
        shrink(machine, HALF_PAST)
    for machine in machines[3:]:
        move(admin, machine, team=other.slug)
    assert query_counts.hold("what a budget made late keeps", ask).keys() == {machine.pk for machine in machines}


def test_a_dry_run_of_the_way_back_counts_what_it_will_keep_once(world, owner, admin, other):
    machine = power(world, owner)
    move(admin, machine, team=other.slug)
    late = budget_of(world, "TEAM", world.team.id, adopted_at=None)
    dry = move(admin, machine, LATER, team=world.team.slug, dry_run=True).figures
    assert [one["needed"] for one in dry["budgets"]] == ["0.000000"]
    assert move(admin, machine, LATER, team=world.team.slug).figures == dry
    assert figures(late)[1] == rest(POWER)


def test_a_dry_run_of_a_modification_counts_it_once_too(world, owner):
    machine = power(world, owner)
    shrink(machine, HALF_PAST)
    late = budget_of(world, "TEAM", world.team.id, adopted_at=None)
    dry = guards.reserve(wanting(world, machine, "POWER"), dry_run=True)
    assert dry["reservation"] == "0.000000"
    adopt(budget_id=late.id, now=LATER)
    assert modify(wanting(world, machine, "POWER")) == dry


# -- Without a price ---------------------------------------------------------------------------------------------------


def test_where_no_price_is_known_what_is_kept_waits_for_it_and_is_not_looked_at_each_minute(world, owner):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    metering.meter(now=TEN + MINUTE)
    kept = figures(team)[1]
    Organization.objects.filter(pk=world.organization.pk).update(currency="CHF")
    assert [after_the_hour(minutes) for minutes in (1, 2, 61, 122)] == [0, 0, 0, 0]
    assert fitting.to_fit(now=TEN + 3 * HOUR) == []
    assert figures(team)[1] == kept
    Organization.objects.filter(pk=world.organization.pk).update(currency="USD")
    assert after_the_hour(123) == 1
    assert figures(team)[1] == rest(STANDARD, 491)
    assert_sums_agree()


def test_a_change_after_the_hour_puts_off_nothing_that_a_former_team_gives_back(world, owner, admin, other):
    machine = power(world, owner)
    team = adopted(world, "TEAM", world.team.id)
    move(admin, machine, team=other.slug)
    assert figures(team)[1] == rest(POWER)
    change(machine, TEN + MINUTE, bundle_type="STANDARD")
    assert after_the_hour(2) == 1
    assert figures(team)[1] == 0


# -- What people see ---------------------------------------------------------------------------------------------------


def test_one_that_became_cheaper_would_make_room_by_what_its_end_then_owes(world, owner, admin):
    machine = machine_of(world, owner, bundle_type="POWER")
    stop(machine, HALF_PAST - 2 * MINUTE)
    metering.meter(now=HALF_PAST)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    (one,) = suggestions(budget_id=team.id, user=admin, now=LATER)
    before = figures(team)
    end(machine, LATER)
    after = figures(team)
    assert Decimal(one["frees"]) == sum(before) - sum(after) > 0


# -- At once -----------------------------------------------------------------------------------------------------------


def test_a_budget_that_is_adopted_while_a_machine_becomes_cheaper_keeps_it_too(world, owner):
    for n in range(4):
        machine = power(world, owner)
        late = budget_of(world, "USER", owner.id, 100_000, adopted_at=None)
        becomes_cheaper = partial(change, machine, HALF_PAST, bundle_type="STANDARD")
        jobs = [becomes_cheaper, partial(adopt, budget_id=late.id, now=HALF_PAST)]
        together(lambda job: job(), jobs if n % 2 else jobs[::-1])
        assert held(machine, kept_until=TEN) == {late.id: rest(POWER)}
        assert_sums_agree()
        Budget.objects.filter(pk=late.pk).update(is_active=False)
