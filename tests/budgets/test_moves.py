"""Moves: the machine's money goes from the budgets that it leaves to those that it enters, whole or not at all."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from audit.actors import Actor
from budgets import guards, leaving
from budgets.adoption import adopt
from budgets.models import Budget, Reservation
from costs import metering
from costs.models import CostRecord, DailyCost
from costs.pricing import hour_of, hour_up
from forge.api.errors import NothingToChange
from forge.operations.models import Operation
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree, figures
from tests.budgets.test_races import assert_spent_is_the_sum_of_the_records, wait_until_somebody_waits_for_a_lock
from tests.budgets.threads import outcome, together
from tests.factories import BudgetFactory, MembershipFactory, ProjectFactory, TeamFactory, WorkSpaceFactory
from workspaces import services as workspaces
from workspaces import transitions
from workspaces.lifecycle import State
from workspaces.models import AttributionChange, WorkSpace
from workspaces.services import moving
from workspaces.services.control import IllegalInThisState, OperationInProgress
from workspaces.transitions import lock_machine, lock_scopes_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

HALF_PAST = MARCH + timedelta(days=10, hours=9, minutes=30)
HOUR = timedelta(hours=1)
FROM_TEN = Decimal("9.75") * (744 - 250) / 744 + 40 * Decimal("0.30")
"""By hand: the fees of the 494 hours of March from 10:00 of the 11th on, and 40 hours of running."""
KEPT = Decimal("9.75") * (744 - 250) / 744 + Decimal("0.30")
"""By hand: what its end in the hour from 9:00 would owe beyond that hour, and one session hour."""


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


@pytest.fixture
def owner(world):
    return world.person()


@pytest.fixture
def admin(world):
    return world.person("admin")


@pytest.fixture
def other(world, owner):
    return team_of(world, owner)


def team_of(world, owner):
    team = TeamFactory(organization=world.organization)
    MembershipFactory(user=owner, team=team, role="engineer")
    return team


def machine_of(world, owner, began=MARCH, **facts):
    """One that runs since March began, charged to the world's team and project."""
    return WorkSpaceFactory(
        **{
            "organization": world.organization, "owner": owner, "team": world.team, "project": world.project,
            "provider_account": world.account, "blueprint": world.blueprint, "created_at": began,
            "history": [(began, "PENDING"), (began, "AVAILABLE")],
        }
        | facts
    )  # fmt: skip


def budget_of(world, scope, scope_id, amount=1000, **facts):
    return BudgetFactory(
        organization=world.organization, scope=scope, scope_id=scope_id, amount=Decimal(amount), **facts
    )


def adopted(world, scope, scope_id, amount=1000, now=HALF_PAST):
    budget = budget_of(world, scope, scope_id, amount, adopted_at=None)
    adopt(budget_id=budget.id, now=now)
    return budget


def move(admin, machine, now=HALF_PAST, *, dry_run=False, **wanted):
    actor = Actor.of_user(admin)
    return workspaces.move(actor=actor, workspace_id=machine.pk, wanted=wanted, now=now, dry_run=dry_run)


def held(machine, **facts):
    return dict(Reservation.objects.live().filter(workspace=machine, **facts).values_list("budget_id", "remaining"))


def give_back(now):
    """What check_budgets does for machines that have left."""
    for budget_id in leaving.to_give_back(now=now):
        leaving.give_back(budget_id=budget_id, now=now)


# -- Figures ---------------------------------------------------------------------------------------------------------


def test_money_goes_from_the_budgets_that_it_leaves_to_those_that_it_enters(world, owner, admin, other):
    machine = machine_of(world, owner)
    project = ProjectFactory(organization=world.organization)
    metering.meter(now=HALF_PAST)
    old = [adopted(world, "TEAM", world.team.id), adopted(world, "PROJECT", world.project.id)]
    both = [adopted(world, "USER", owner.id), adopted(world, "ORGANIZATION", world.organization.id)]
    new = [budget_of(world, "TEAM", other.id), budget_of(world, "PROJECT", project.id)]
    before = [figures(budget) for budget in [*old, *both]]
    assert all(reserved > 0 for _, reserved in before)
    dry = move(admin, machine, team=other.slug, project=project.slug, dry_run=True).figures
    assert [figures(budget) for budget in [*old, *both]] == before
    told = move(admin, machine, team=other.slug, project=project.slug).figures
    assert told == dry
    expected = round(FROM_TEN, 6)
    assert told["reservation"] == f"{expected:.6f}"
    assert told["charged_from"] == "2026-03-11T10:00:00Z"
    kept = round(KEPT, 6)
    assert {row["id"]: (row["released"], row["kept"]) for row in told["released"]} == {
        str(budget.id): (f"{reserved - kept:.6f}", f"{kept:.6f}")
        for budget, (_, reserved) in zip(old, before, strict=False)
    }
    assert [figures(budget) for budget in old] == [(spent, kept) for spent, _ in before[:2]]
    assert [figures(budget) for budget in both] == before[2:]
    assert [figures(budget) for budget in new] == [(0, expected)] * 2
    assert held(machine, kept_until=None).keys() == {budget.id for budget in [*both, *new]}
    assert held(machine, kept_until=hour_up(HALF_PAST)).keys() == {budget.id for budget in old}
    assert_sums_agree()


def test_of_the_scope_that_stays_nothing_is_touched(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    stays, entered = adopted(world, "PROJECT", world.project.id), budget_of(world, "TEAM", other.id)
    before = held(machine)
    told = move(admin, machine, team=other.slug).figures
    assert [row["id"] for row in told["budgets"]] == [str(entered.id)]
    assert told["released"] == []
    assert held(machine)[stays.id] == before[stays.id]


def test_exactly_full_is_admitted_and_a_millionth_less_changes_nothing_at_all(world, owner, admin, other):
    machine, idle = machine_of(world, owner), machine_of(world, world.person(), team=other, state="STOPPED")
    needed = round(FROM_TEN, 6)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    new = adopted(world, "TEAM", other.id)
    spent, reserved = figures(new)
    Budget.objects.filter(pk=new.pk).update(amount=spent + reserved + needed - Decimal("0.000001"))
    before = (figures(old), figures(new), WorkSpace.objects.values().get(pk=machine.pk))
    for dry_run in (True, False):
        with pytest.raises(guards.BudgetExceeded) as refusal:
            move(admin, machine, team=other.slug, dry_run=dry_run)
    assert (refusal.value.extra["budget"], refusal.value.extra["needed"]) == (str(new.id), f"{needed:.6f}")
    assert "make_room" in refusal.value.document()
    assert (figures(old), figures(new), WorkSpace.objects.values().get(pk=machine.pk)) == before
    assert not AttributionChange.objects.exists()
    assert not Operation.objects.filter(target_id=machine.pk).exists()
    Budget.objects.filter(pk=new.pk).update(amount=spent + reserved + needed)
    move(admin, machine, team=other.slug)
    assert figures(new) == (spent, reserved + needed)
    assert idle.team == other
    assert_sums_agree()


def test_a_budget_of_the_new_team_that_is_not_adopted_is_adopted_first(world, owner, admin, other):
    machine = machine_of(world, owner)
    standing = machine_of(world, world.person(), team=other)
    metering.meter(now=HALF_PAST)
    new = budget_of(world, "TEAM", other.id, adopted_at=None)
    told = move(admin, machine, team=other.slug, dry_run=True).figures
    assert move(admin, machine, team=other.slug).figures == told
    assert Budget.objects.get(pk=new.pk).adopted_at == HALF_PAST
    assert Reservation.objects.live().filter(budget=new).count() == 2
    assert figures(new)[0] == sum(row.total_cost for row in CostRecord.objects.filter(workspace=standing))
    assert_sums_agree()


def test_there_and_back_holds_once_in_the_first_team_again(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    move(admin, machine, team=other.slug)
    move(admin, machine, HALF_PAST + timedelta(minutes=1), team=world.team.slug)
    assert figures(new) == (0, 0)
    assert held(machine) == {old.id: round(FROM_TEN, 6)}
    assert held(machine, kept_until=None) == held(machine)
    assert Reservation.objects.filter(workspace=machine).count() == 2
    assert_sums_agree()


# -- Hours -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=7)])
@pytest.mark.parametrize("minute", [0, 30])
def test_the_hour_that_has_begun_stays_and_the_next_one_is_the_new_teams_however_late_it_is_booked(
    world, owner, admin, other, minute, late
):
    """A session hour that begins after the move, in the running UTC hour, belongs to the running hour too."""
    began = MARCH + timedelta(days=10, hours=4, minutes=45)
    machine = machine_of(world, owner, began)
    at = MARCH + timedelta(days=10, hours=9, minutes=minute)
    old, new = budget_of(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    whole = budget_of(world, "ORGANIZATION", world.organization.id)
    if not late:
        metering.meter(now=at)
    move(admin, machine, at, team=other.slug)
    metering.meter(now=at + HOUR)
    metering.meter(now=at + timedelta(hours=7))
    first = MARCH + timedelta(days=10, hours=10 if minute else 9)
    records = CostRecord.objects.filter(workspace=machine).order_by("period_start")
    assert [(row.period_start < first) for row in records] == [row.team_id == world.team.id for row in records]
    hours = [row.period_start for row in records]
    assert hours == [MARCH + timedelta(days=10, hours=4 + n) for n in range(len(hours))]
    assert len(hours) >= 12
    assert records.filter(team=world.team).latest("period_start").billed_hours == 1
    spent = [sum(row.total_cost for row in records.filter(team=team)) for team in (world.team, other)]
    assert [figures(budget)[0] for budget in (old, new, whole)] == [*spent, sum(spent)]
    assert figures(old)[1] == 0
    days = {team: sum(day.total_cost for day in DailyCost.objects.filter(team=team)) for team in (world.team, other)}
    assert list(days.values()) == spent
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


def stop(machine, now):
    with transaction.atomic():
        lock_scopes_of(machine.pk)
        row = lock_machine(machine.pk)
        for target in (State.STOPPING, State.STOPPED):
            transitions.move(
                workspace=row, target=target, occurred_at=now, reason="t", actor=Actor.job("t"), now=now
            )  # fmt: skip


def test_the_end_of_a_machine_that_moved_gives_back_what_the_new_budgets_hold(world, owner, admin, other):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    spent = figures(old)[0]
    move(admin, machine, team=other.slug)
    end(machine, HALF_PAST + 2 * HOUR)
    assert figures(old) == (spent, 0)
    assert figures(new)[1] == 0
    assert figures(new)[0] == sum(row.total_cost for row in CostRecord.objects.filter(team=other))
    assert not held(machine)
    assert_spent_is_the_sum_of_the_records()


def end(machine, now):
    with transaction.atomic():
        lock_scopes_of(machine.pk)
        row = lock_machine(machine.pk)
        for target in (State.TERMINATING, State.TERMINATED):
            transitions.move(
                workspace=row, target=target, occurred_at=now, reason="t", actor=Actor.job("t"), now=now
            )  # fmt: skip


@pytest.mark.parametrize(
    ("late", "kept"), [(HOUR, Decimal("9.75") * (744 - 251) / 744 + Decimal("0.30")), (timedelta(days=3), Decimal(0))]
)
def test_what_the_hours_before_the_move_owe_is_booked_before_the_former_budget_lets_anybody_in(
    world, owner, admin, other, late, kept
):
    """Metering is an hour, or three days behind: what the machine owes its former team is nobody else's to have.

    After three days all that it held is spent, and there is no room for more.
    """
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id)
    spent, reserved = figures(old)
    Budget.objects.filter(pk=old.pk).update(amount=spent + reserved)
    at = HALF_PAST + late
    told = move(admin, machine, at, team=other.slug)
    booked, held_now = figures(old)
    owed = sum(row.total_cost for row in CostRecord.objects.filter(workspace=machine, team=world.team))
    assert (booked, held_now) == (owed, round(kept, 6))
    assert booked > spent
    assert told.workspace.cost_to_date == WorkSpace.objects.get(pk=machine.pk).cost_to_date == owed
    with pytest.raises(guards.BudgetExceeded):
        world.launch(user=world.person(), now=at)
    metering.meter(now=hour_up(at))
    assert CostRecord.objects.filter(workspace=machine).latest("period_start").period_start == hour_of(at)
    metering.meter(now=hour_up(at) + timedelta(minutes=1))
    give_back(hour_up(at) + timedelta(minutes=1))
    assert figures(old) == (booked, 0)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()


APRIL_WHOLE = Decimal("9.75") + 40 * Decimal("0.30")


@pytest.mark.parametrize("lacking", [Decimal(0), Decimal("0.000001")])
def test_in_the_last_hour_of_a_period_the_budget_of_the_next_one_is_asked(world, owner, admin, other, lacking):
    """The new team is charged from April on: its budget of March has no room and is none of the move's business."""
    machine = machine_of(world, owner)
    at = APRIL - timedelta(minutes=30)
    metering.meter(now=at)
    march = budget_of(world, "TEAM", other.id, 0)
    terms = {"period_start": APRIL, "period_end": MAY, "adopted_at": None}
    april = budget_of(world, "TEAM", other.id, APRIL_WHOLE - lacking, **terms)
    if lacking:
        for dry_run in (True, False):
            with pytest.raises(guards.BudgetExceeded) as refusal:
                move(admin, machine, at, team=other.slug, dry_run=dry_run)
            assert refusal.value.extra["budget"] == str(april.id)
            assert "make_room" in refusal.value.document()
        return
    told = move(admin, machine, at, team=other.slug).figures
    assert [row["id"] for row in told["budgets"]] == [str(april.id)]
    assert told["charged_from"] == "2026-04-01T00:00:00Z"
    assert told["reservation"] == told["estimated_cost"] == f"{APRIL_WHOLE:.6f}"
    assert (figures(march), figures(april)) == ((0, 0), (0, 0))
    with pytest.raises(guards.BudgetExceeded):
        move(admin, machine_of(world, owner), at, team=other.slug)
    adopt(budget_id=april.id, now=APRIL)
    metering.meter(now=APRIL + timedelta(minutes=5))
    assert held(machine).keys() == {april.id}
    assert sum(figures(april)) == APRIL_WHOLE
    assert figures(march) == (0, 0)
    assert_sums_agree()


# -- At once ---------------------------------------------------------------------------------------------------------


def test_of_many_moves_at_once_as_many_are_admitted_as_the_new_budget_holds(world, owner, admin, other):
    machines = [machine_of(world, owner) for _ in range(12)]
    metering.meter(now=HALF_PAST)
    old = adopted(world, "TEAM", world.team.id, 100_000)
    new = budget_of(world, "TEAM", other.id, 5 * round(FROM_TEN, 6))
    admit = outcome(guards.BudgetExceeded, lambda machine: move(admin, machine, team=other.slug))
    assert sum(together(admit, machines, at_once=12)) == 5
    assert figures(new) == (0, 5 * round(FROM_TEN, 6))
    assert set(Reservation.objects.live().filter(budget=new).values_list("workspace", flat=True)) == set(
        WorkSpace.objects.filter(team=other).values_list("id", flat=True)
    )
    assert Reservation.objects.live().filter(budget=old, kept_until=None).count() == 7
    assert_sums_agree()


def test_two_moves_of_one_machine_at_once_end_in_one_team_that_alone_holds_its_money(world, owner, admin, other):
    """The second reads whose a machine is before the first commits, and takes the rows of its new team all the same."""
    third = team_of(world, owner)
    machines = [machine_of(world, owner) for _ in range(4)]
    metering.meter(now=HALF_PAST)
    budgets = {team.id: adopted(world, "TEAM", team.id, 100_000) for team in (world.team, other, third)}
    jobs = [(machine, team.slug) for machine in machines for team in (other, third, world.team) for _ in range(2)]
    random.shuffle(jobs)

    def attempt(job):
        try:
            move(admin, job[0], team=job[1])
        except NothingToChange:
            return False
        return True

    done = together(attempt, jobs)
    assert sum(done) == AttributionChange.objects.count()
    for machine in machines:
        machine.refresh_from_db()
        assert held(machine, kept_until=None).keys() == {budgets[machine.team_id].id}
        assert held(machine).keys() == {budgets[machine.team_id].id, budgets[world.team.id].id}
    assert_sums_agree()


@pytest.mark.soak
def test_moves_beside_meters_ends_launches_modifications_and_adoptions_leave_the_sums_right(world, owner, admin, scale):
    """Real threads on twelve machines between three teams, two projects; every lock order is put to the test."""
    for _ in range(scale(10, 1)):
        teams = [world.team, team_of(world, owner), team_of(world, owner)]
        projects = [world.project, ProjectFactory(organization=world.organization), None]
        machines = [machine_of(world, owner) for _ in range(12)]
        metering.meter(now=HALF_PAST - HOUR)
        for scope, rows in (("TEAM", teams), ("PROJECT", projects[:2])):
            for row in rows:
                adopted(world, scope, row.id, 1_000_000, now=HALF_PAST - HOUR)
        late = budget_of(world, "ORGANIZATION", world.organization.id, 1_000_000, adopted_at=None)
        jobs = [
            *(lambda m=m, t=t, p=p: try_move(admin, m, t, p) for m in machines for t in teams for p in projects),
            *(lambda step=step: metering.meter(now=HALF_PAST + step * timedelta(minutes=15)) for step in range(24)),
            *(lambda m=m: end(m, HALF_PAST + 2 * HOUR) for m in machines[:4]),
            *(lambda m=m: try_modify(admin, m) for m in machines[4:8]),
            *(lambda late=late: adopt(budget_id=late.id, now=HALF_PAST) for _ in range(3)),
        ]
        random.shuffle(jobs)
        together(lambda job: job(), jobs)
        metering.meter(now=HALF_PAST + 8 * HOUR)
        give_back(HALF_PAST + 8 * HOUR)
        assert_sums_agree()
        assert_spent_is_the_sum_of_the_records()
        for machine in machines:
            machine.refresh_from_db()
            scopes = {machine.team_id, machine.project_id, world.organization.id} if machine.is_live else set()
            live = Reservation.objects.live().filter(workspace=machine)
            assert set(live.values_list("budget__scope_id", flat=True)) == scopes - {None}
        Budget.objects.all().update(is_active=False)
        WorkSpace.objects.filter(pk__in=[machine.pk for machine in machines]).update(
            state="TERMINATED", terminated_at=HALF_PAST + 8 * HOUR
        )


def try_move(admin, machine, team, project):
    """The refusals are those of a machine that has ended, is being changed, or is there already."""
    with suppress(NothingToChange, IllegalInThisState, OperationInProgress):
        move(admin, machine, team=team.slug, project=project.slug if project else None)


def try_modify(admin, machine):
    wanted = {"running_mode": "ALWAYS_ON"}
    with suppress(NothingToChange, IllegalInThisState, OperationInProgress):
        workspaces.modify(actor=Actor.of_user(admin), workspace_id=machine.pk, wanted=wanted, now=HALF_PAST)


def test_whoever_is_cut_off_before_the_commit_has_moved_nothing(world, owner, admin, other, monkeypatch):
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST)
    old, new = adopted(world, "TEAM", world.team.id), budget_of(world, "TEAM", other.id)
    before = figures(old)

    with monkeypatch.context() as patched:
        patched.setattr(moving, "owe", lambda *_, **__: connection.connection.close())
        with pytest.raises((OperationalError, InterfaceError)):
            move(admin, machine, team=other.slug)
    connection.close()
    assert WorkSpace.objects.get(pk=machine.pk).team == world.team
    assert (figures(old), figures(new)) == (before, (0, 0))
    assert held(machine).keys() == {old.id}
    move(admin, machine, team=other.slug)
    assert (figures(old)[1], figures(new)) == (round(KEPT, 6), (0, round(FROM_TEN, 6)))
    assert_sums_agree()


def test_whoever_waits_for_a_machine_that_is_being_moved_holds_the_rows_of_its_new_team(
    world, owner, admin, other, make_app_connection
):
    """An adoption of the new team's budget must wait for an end that read whose the machine was before it moved."""
    machine = machine_of(world, owner)
    move(admin, machine, team=other.slug)
    adopting = make_app_connection()
    adopting.execute("SELECT 1 FROM accounts_team WHERE id = %s FOR UPDATE", [other.id])
    with pytest.raises(OperationalError, match="lock timeout"):
        lock_impatiently(machine)
    adopting.rollback()


def test_the_end_of_a_machine_that_moved_takes_the_budgets_of_both_teams_in_the_order_of_their_ids(
    world, owner, admin, other, make_app_connection
):
    """Its last hours are the old team's, its money the new one's; the new one's budget comes first by its id."""
    machine = machine_of(world, owner)
    metering.meter(now=HALF_PAST - 2 * HOUR)
    first, second = budget_of(world, "TEAM", other.id), adopted(world, "TEAM", world.team.id)
    assert first.id < second.id
    move(admin, machine, team=other.slug)
    holding, looking = make_app_connection(), make_app_connection()
    lock = "SELECT 1 FROM budgets_budget WHERE id = %s FOR NO KEY UPDATE"
    assert holding.execute(lock, [first.id]).rowcount == 1
    with ThreadPoolExecutor() as pool:
        ending = pool.submit(end_and_leave, machine)
        wait_until_somebody_waits_for_a_lock()
        try:
            assert looking.execute(f"{lock} NOWAIT", [second.id]).rowcount == 1
        finally:
            looking.rollback()
            holding.rollback()
        ending.result(timeout=30)
    assert figures(second)[0] == sum(row.total_cost for row in CostRecord.objects.filter(team=world.team))
    assert not held(machine)


def end_and_leave(machine):
    try:
        end(machine, HALF_PAST + timedelta(minutes=10))
    finally:
        connection.close()


@transaction.atomic
def lock_impatiently(machine):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
    lock_machine(machine.pk)
