"""What budgets keep for a machine that has left them, until the UTC hour of its move is over: no budget is passed."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from audit.actors import Actor
from budgets import guards, services
from budgets.adoption import adopt, foresee
from budgets.fitting import fit
from budgets.making_room import suggestions
from budgets.models import Budget, Reservation
from budgets.proof import prove
from budgets.sweep import check_budgets
from costs import metering
from costs.models import CostRecord
from costs.pricing import hour_of, hour_up
from tests.budgets.support import MARCH, assert_sums_agree, figures
from tests.budgets.test_api import client_of
from tests.budgets.test_moves import (
    HALF_PAST,
    HOUR,
    KEPT,
    admin,
    adopted,
    budget_of,
    end,
    give_back,
    held,
    machine_of,
    move,
    other,
    owner,
    stop,
    team_of,
    world,
)  # fmt: skip
from tests.budgets.test_races import assert_spent_is_the_sum_of_the_records
from tests.budgets.threads import outcome, together
from workspaces.models import WorkSpace

__all__ = ["admin", "other", "owner", "world"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JOB = Actor.job("t")
MINUTE = timedelta(minutes=1)
TEN = hour_up(HALF_PAST)
ALWAYS_ON = Decimal(35) * (744 - 250) / 744
"""By hand: what an AlwaysOn machine that ends in the hour from 9:00 of the 11th owes beyond that hour."""


def fill(budget, room=0):
    """Leave so much room in the budget."""
    Budget.objects.filter(pk=budget.pk).update(amount=sum(figures(budget)) + room)


def assert_within(budget):
    spent, reserved = figures(budget)
    assert spent + reserved <= Budget.objects.get(pk=budget.pk).amount


# -- The end in the hour of the move -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kept"), [("ALWAYS_ON", ALWAYS_ON), ("AUTO_STOP", KEPT)])
def test_what_an_end_in_the_hour_of_the_move_owes_is_nobody_elses_to_have(world, owner, admin, other, mode, kept):
    """It charges the former team the rest of the month, after somebody has asked for all the room there."""
    machine = machine_of(world, owner, running_mode=mode)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    fill(old)
    spent, reserved = figures(old)
    told = move(admin, machine, team=other.slug).figures["released"]
    assert told == [
        {
            "id": str(old.id),
            "scope": "TEAM",
            "released": f"{reserved - round(kept, 6):.6f}",
            "kept": f"{round(kept, 6):.6f}",
        }
    ]
    assert figures(old) == (spent, round(kept, 6))
    for _ in range(3):
        try:
            world.launch(user=world.person(), now=HALF_PAST + 5 * MINUTE)
        except guards.BudgetExceeded:
            break
    before = figures(old)
    end(machine, HALF_PAST + 15 * MINUTE)
    last = CostRecord.objects.filter(workspace=machine).latest("period_start")
    assert (last.period_start, last.team) == (hour_of(HALF_PAST), world.team)
    assert figures(old)[0] > spent
    assert sum(figures(old)) <= sum(before)
    assert_within(old)
    assert figures(new) == (0, 0)
    assert not held(machine)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


@pytest.mark.parametrize(
    ("mode", "runs_on", "kept", "more"),
    [
        ("AUTO_STOP", True, KEPT, Decimal("0.30")),
        ("AUTO_STOP", False, KEPT, Decimal(0)),
        ("ALWAYS_ON", True, ALWAYS_ON, Decimal(0)),
    ],
)
def test_a_session_hour_that_begins_later_is_paid_out_of_what_is_kept_and_the_rest_goes_back_after_the_hour(
    world, owner, admin, other, mode, runs_on, kept, more
):
    machine = machine_of(world, owner, MARCH + timedelta(days=10, hours=4, minutes=45), running_mode=mode)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    move(admin, machine, team=other.slug)
    booked, keeps = figures(old)
    assert keeps == round(kept, 6)
    fill(old)
    taken = held(machine)[new.id]
    if not runs_on:
        stop(machine, HALF_PAST + 10 * MINUTE)
    metering.meter(now=HALF_PAST + 20 * MINUTE)
    assert figures(old) == (booked + more, keeps - more), "topped up, or taken from elsewhere"
    assert figures(new) == (0, taken)
    check_budgets(actor=JOB, now=TEN - MINUTE)
    assert figures(old) == (booked + more, keeps - more)
    metering.meter(now=TEN + MINUTE)
    assert check_budgets(actor=JOB, now=TEN + MINUTE, dry_run=True)["given_back"] == 1
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] == 1
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] == 0
    assert figures(old) == (booked + more, 0)
    assert held(machine).keys() == {new.id}
    metering.meter(now=HALF_PAST + 9 * HOUR)
    assert figures(old) == (booked + more, 0)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_it_goes_back_only_once_the_hour_is_booked(world, owner, admin, other):
    """Metering stands still for three hours: the session hour that has begun at 9:45 is not booked yet."""
    machine = machine_of(world, owner, MARCH + timedelta(days=10, hours=4, minutes=45))
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    move(admin, machine, team=other.slug)
    booked, keeps = figures(old)
    at = HALF_PAST + 3 * HOUR
    check_budgets(actor=JOB, now=at)
    assert figures(old) == (booked, keeps)
    metering.meter(now=at)
    check_budgets(actor=JOB, now=at)
    assert figures(old) == (booked + Decimal("0.30"), 0)


def test_a_machine_that_was_resized_in_the_hour_of_its_move_owes_by_what_it_was_when_that_began(
    world, owner, admin, other
):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON", bundle_type="PERFORMANCE")
    metering.meter(now=HALF_PAST - 10 * MINUTE)
    old = adopted(world, "TEAM", world.team.id, now=HALF_PAST - 10 * MINUTE)
    row = WorkSpace.objects.get(pk=machine.pk)
    row.bundle_type, row.configured_at = "STANDARD", HALF_PAST - 5 * MINUTE
    row.save(update_fields=["bundle_type", "configured_at", "updated_at"])
    move(admin, machine, team=other.slug)
    fill(old)
    end(machine, HALF_PAST + 5 * MINUTE)
    assert figures(old)[1] == 0
    assert_within(old)


def test_a_move_at_a_full_hour_leaves_nothing_behind(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=TEN)
    old = adopted(world, "TEAM", world.team.id, now=TEN)
    told = move(admin, machine, TEN, team=other.slug).figures["released"]
    assert [one["kept"] for one in told] == ["0.000000"]
    assert figures(old)[1] == 0
    assert old.id not in held(machine)


def test_a_budget_that_holds_less_keeps_what_it_holds(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    Reservation.objects.filter(budget=old).update(remaining=2)
    Budget.objects.filter(pk=old.pk).update(reserved=2)
    assert move(admin, machine, team=other.slug).figures["released"][0]["kept"] == "2.000000"
    assert figures(old)[1] == 2
    assert_sums_agree()


# -- Again within the hour ---------------------------------------------------------------------------------------------


def test_of_two_moves_in_an_hour_the_first_team_alone_keeps_it(world, owner, admin, other):
    third = team_of(world, owner)
    machine = machine_of(world, owner, running_mode="ALWAYS_ON")
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), adopted(world, "TEAM", other.id)
    move(admin, machine, team=other.slug)
    kept = figures(old)
    told = move(admin, machine, HALF_PAST + MINUTE, team=third.slug).figures["released"]
    assert {one["id"]: one["kept"] for one in told} == {str(old.id): f"{kept[1]:.6f}", str(new.id): "0.000000"}
    assert (figures(old), figures(new)) == (kept, (0, 0))
    fill(old)
    end(machine, HALF_PAST + 5 * MINUTE)
    assert_within(old)
    assert (figures(old)[1], figures(new)) == (0, (0, 0))
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_a_machine_that_comes_back_needs_only_what_was_not_kept(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    whole = figures(old)[1]
    move(admin, machine, team=other.slug)
    kept = figures(old)[1]
    fill(old, whole - kept)
    dry = move(admin, machine, HALF_PAST + MINUTE, team=world.team.slug, dry_run=True).figures
    told = move(admin, machine, HALF_PAST + MINUTE, team=world.team.slug).figures
    assert told == dry
    assert told["reservation"] == f"{whole - kept:.6f}"
    assert held(machine, kept_until=None) == {old.id: whole}
    metering.meter(now=TEN + MINUTE)
    give_back(TEN + MINUTE)
    assert held(machine).keys() == {old.id}, "given back as if it were away"
    assert_sums_agree()


def test_one_that_goes_on_after_the_hour_but_before_the_sweep_leaves_nothing_with_the_first(world, owner, admin, other):
    third = team_of(world, owner)
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), adopted(world, "TEAM", other.id)
    move(admin, machine, team=other.slug)
    move(admin, machine, TEN + MINUTE, team=third.slug)
    assert figures(old)[1] == 0
    assert held(machine, kept_until=TEN + HOUR).keys() == {new.id}
    assert_sums_agree()


# -- Budgets made late -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["TEAM", "PROJECT"])
def test_a_budget_that_is_made_late_in_the_hour_keeps_it_for_who_has_left(world, owner, admin, other, scope):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON")
    standing = machine_of(world, world.person())
    metering.meter(now=HALF_PAST)
    move(admin, machine, team=other.slug, project=None)
    late = budget_of(world, scope, world.scope_id(scope), adopted_at=None)
    at = HALF_PAST + 5 * MINUTE
    expected = foresee(budget_id=late.id, now=at)
    adopt(budget_id=late.id, now=at)
    assert figures(late) == expected
    assert held(machine, kept_until=TEN) == {late.id: round(ALWAYS_ON, 6)}
    assert late.id in held(standing)
    fill(late)
    end(machine, HALF_PAST + 15 * MINUTE)
    assert_within(late)
    assert late.id not in held(machine)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_switched_off_and_on_again_it_keeps_it_anew(world, owner, admin, other):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON")
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    move(admin, machine, team=other.slug)
    before = figures(old)
    for is_active in (False, True):
        services.change(actor=Actor.of_user(admin), budget_id=old.id, is_active=is_active, now=HALF_PAST + MINUTE)
    assert figures(old) == before
    assert held(machine, kept_until=TEN)[old.id] == before[1]


# -- What people see ---------------------------------------------------------------------------------------------------


def test_the_budget_shows_what_holds_it_and_until_when(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    move(admin, machine, team=other.slug)
    client = client_of(admin)
    shown = client.get(f"/api/v1/budgets/{old.id}/").json()
    assert [(one["workspace"], one["remaining"], one["kept_until"]) for one in shown["held_by"]] == [
        (str(machine.id), f"{round(KEPT, 6):.6f}", "2026-03-11T10:00:00Z")
    ]
    (listed,) = client.get(f"/api/v1/budgets/{old.id}/reservations/").json()
    assert listed["kept_until"] == "2026-03-11T10:00:00Z"


def test_it_is_no_machine_that_would_make_room(world, owner, admin, other):
    machine = machine_of(world, owner)
    stop(machine, HALF_PAST - 2 * MINUTE)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    assert [one["workspace"] for one in suggestions(budget_id=old.id, user=admin, now=HALF_PAST)] == [str(machine.id)]
    move(admin, machine, team=other.slug)
    assert suggestions(budget_id=old.id, user=admin, now=HALF_PAST) == []


# -- At once -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(4))
def test_moves_launches_ends_sweeps_and_meters_at_once_pass_no_budget(world, owner, admin, other, turn):
    """Of twelve machines of a full budget six move and end within the hour, while others want every bit of its room."""
    machines = [machine_of(world, owner, running_mode="ALWAYS_ON") for _ in range(6)]
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), adopted(world, "TEAM", other.id, 100_000)
    fill(old)
    person = world.person()
    launch = outcome(guards.BudgetExceeded, lambda n: world.launch(user=person, now=HALF_PAST + n * MINUTE))

    def leave_and_end(machine):
        move(admin, machine, team=other.slug)
        if turn % 2:
            end(machine, HALF_PAST + 10 * MINUTE)

    jobs = [
        *(lambda m=m: leave_and_end(m) for m in machines),
        *(lambda n=n: launch(n) for n in range(12)),
        *(lambda n=n: metering.meter(now=HALF_PAST + n * MINUTE) for n in range(4)),
        *(lambda: give_back(TEN - MINUTE) for _ in range(2)),
    ]
    together(lambda job: job(), jobs)
    assert_within(old)
    assert_sums_agree()
    for machine in machines:
        if not turn % 2:
            end(machine, HALF_PAST + 20 * MINUTE)
    assert_within(old)
    assert figures(new) == (0, 0)
    metering.meter(now=TEN + MINUTE)
    give_back(TEN + MINUTE)
    assert not Reservation.objects.live().filter(workspace__in=machines).exists()
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()
    prove(actor=JOB, now=TEN + MINUTE, every_day=True)


def test_a_budget_that_is_adopted_beside_the_move_keeps_it_or_hands_it_over(world, owner, admin, other):
    for _ in range(6):
        machine = machine_of(world, owner, running_mode="ALWAYS_ON")
        metering.meter(now=HALF_PAST)
        late = budget_of(world, "TEAM", world.team.id, 100_000, adopted_at=None)
        jobs = [lambda m=machine: move(admin, m, team=other.slug), lambda b=late: adopt(budget_id=b.id, now=HALF_PAST)]
        together(lambda job: job(), jobs)
        assert held(machine, kept_until=TEN) == {late.id: round(ALWAYS_ON, 6)}
        assert_sums_agree()
        Budget.objects.filter(pk=late.pk).update(is_active=False)


# -- The end in the hour in which it became cheaper --------------------------------------------------------------------


def shrink(machine, now):
    """As the answer of AWS to a modification does it."""
    with transaction.atomic():
        machine.refresh_from_db()
        machine.bundle_type, machine.configured_at = "STANDARD", now
        machine.save()
        fit(workspace=machine, now=now)


def test_what_an_end_in_the_hour_of_a_resize_owes_by_the_former_bundle_is_nobody_elses_to_have(world, owner):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON", bundle_type="POWER")
    metering.meter(now=HALF_PAST)
    team, person = adopted(world, "TEAM", world.team.id), adopted(world, "USER", owner.id)
    for budget in (team, person):
        fill(budget)
    shrink(machine, HALF_PAST)
    with pytest.raises(guards.BudgetExceeded):
        world.launch(user=owner, now=HALF_PAST + 5 * MINUTE)
    end(machine, HALF_PAST + 15 * MINUTE)
    for budget in (team, person):
        assert figures(budget) == (Budget.objects.get(pk=budget.pk).amount, 0)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def test_after_that_hour_what_the_smaller_bundle_does_not_need_goes_back(world, owner):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON", bundle_type="POWER")
    metering.meter(now=HALF_PAST)
    team = adopted(world, "TEAM", world.team.id)
    before = figures(team)
    shrink(machine, HALF_PAST)
    shrink(machine, HALF_PAST + MINUTE)  # seen in AWS too
    assert figures(team) == before
    assert check_budgets(actor=JOB, now=TEN - MINUTE)["given_back"] == 0
    metering.meter(now=TEN + MINUTE)
    assert check_budgets(actor=JOB, now=TEN + MINUTE, dry_run=True)["given_back"] == 1
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] == 1
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] == 0
    # From 11:00 of the 11th on: the hour from 10:00 is booked, and is STANDARD's already.
    assert figures(team)[1] == round(Decimal(35) * (744 - 251) / 744, 6)
    assert Reservation.objects.live().get(budget=team).kept_until is None
    metering.meter(now=TEN + 3 * HOUR)
    assert_sums_agree()
    end(machine, TEN + 3 * HOUR)
    assert figures(team)[1] == 0


def test_metering_does_not_fill_up_what_was_given_back_by_the_price_of_the_hour_before(world, owner):
    machine = machine_of(world, owner, MARCH + timedelta(days=10, hours=4, minutes=45), bundle_type="POWER")
    metering.meter(now=HALF_PAST)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    given_back = figures(team)[1]
    metering.meter(now=HALF_PAST + 20 * MINUTE)  # a session hour began at 9:45
    assert figures(team)[1] <= given_back
    metering.meter(now=TEN + MINUTE)
    check_budgets(actor=JOB, now=TEN + MINUTE)
    assert figures(team)[1] <= given_back
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] == 0


def test_a_machine_that_lives_no_longer_than_its_month_is_fitted_once(world, owner):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON", bundle_type="POWER")
    WorkSpace.objects.filter(pk=machine.pk).update(max_lifetime_days=15)
    metering.meter(now=HALF_PAST)
    adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    fitted = []
    for hours in range(4):
        metering.meter(now=TEN + hours * HOUR + MINUTE)
        fitted.append(check_budgets(actor=JOB, now=TEN + hours * HOUR + MINUTE)["given_back"])
    assert fitted == [1, 0, 0, 0]


def test_what_a_machine_that_became_cheaper_kept_goes_back_though_it_moved_away_and_back(world, owner, admin, other):
    machine = machine_of(world, owner, running_mode="ALWAYS_ON", bundle_type="POWER")
    metering.meter(now=HALF_PAST)
    team = adopted(world, "TEAM", world.team.id)
    shrink(machine, HALF_PAST)
    move(admin, machine, team=other.slug)
    move(admin, machine, team=world.team.slug)
    metering.meter(now=TEN + MINUTE)
    assert check_budgets(actor=JOB, now=TEN + MINUTE)["given_back"] >= 1
    assert figures(team)[1] == round(Decimal(35) * (744 - 251) / 744, 6)
    assert_sums_agree()
