"""Admission, settlement, release and adoption at once: real threads, real rows, the sums always right."""

import random
import threading
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.actors import Actor
from budgets import guards, ledger, renewal, services, thresholds
from budgets.adoption import adopt
from budgets.models import Budget, Reservation
from costs import metering
from costs.charges import Charges
from costs.pricing import HOUR
from tests.budgets.support import (
    APRIL,
    MARCH,
    MAY,
    STANDARD,
    World,
    admit,
    assert_sums_agree,
    figures,
    lock_scopes_of,
)
from tests.budgets.test_ledger import price, spend
from tests.budgets.threads import outcome, together
from tests.factories import WorkSpaceFactory
from tests.races.threads import wait_until_somebody_waits_for_a_lock
from workspaces.intents import RepairFirst
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

SCOPES = ("USER", "TEAM", "PROJECT", "ORGANIZATION")


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def launched(world):
    return outcome(guards.BudgetExceeded, lambda intent: admit(intent, world.account))


@pytest.mark.soak
def test_room_for_exactly_ten_admits_exactly_ten_of_two_hundred_beside_three_meters(scale):
    """Four budgets at once, each with room for ten; what three meters book of running machines takes none of it."""
    metering.ensure_months(MARCH, MAY)
    for _ in range(scale(50, 1)):
        world = World()
        user = world.person()
        budgets = [world.budget(scope, 100_000, user=user, adopted_at=None) for scope in SCOPES]
        for _ in range(3):
            WorkSpaceFactory(
                organization=world.organization, owner=user, team=world.team, project=world.project,
                history=[(MARCH, "PENDING"), (MARCH, "AVAILABLE")],
            )  # fmt: skip
        for budget in budgets:
            adopt(budget_id=budget.id, now=MARCH)
        held = figures(budgets[0])[1]
        Budget.objects.filter(id__in=[budget.id for budget in budgets]).update(amount=held + 10 * STANDARD)
        with metered_beside(3) as booked:
            assert sum(together(launched(world), [world.intent(user=user) for _ in range(200)], at_once=200)) == 10
        assert sum(booked) > 0
        for budget in budgets:
            spent, reserved = figures(budget)
            assert spent > 0
            assert spent + reserved == held + 10 * STANDARD
            assert Reservation.objects.filter(budget=budget, operation__isnull=False).count() == 10
        assert_sums_agree()
        assert_spent_is_the_sum_of_the_records()


@contextmanager
def metered_beside(meters):
    """Three hours of metering in steps of ten minutes by each of so many threads; yields the records of each sweep."""
    booked, faults = [], []

    def sweep():
        try:
            booked.extend(metering.meter(now=MARCH + step * timedelta(minutes=10))["records"] for step in range(1, 19))
        except Exception as error:  # noqa: BLE001 - any fault at all fails the test
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(meters)]
    for thread in threads:
        thread.start()
    yield booked
    for thread in threads:
        thread.join(timeout=300)
    assert faults == []
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("narrow", SCOPES)
def test_four_scopes_at_once_admit_what_the_narrowest_holds(world, narrow):
    user = world.person()
    budgets = {scope: world.budget(scope, (5 if scope == narrow else 7) * STANDARD, user=user) for scope in SCOPES}
    assert sum(together(launched(world), [world.intent(user=user) for _ in range(24)])) == 5
    assert {figures(budget) for budget in budgets.values()} == {(0, 5 * STANDARD)}
    assert_sums_agree()


def test_people_of_many_teams_share_the_organizations_room(world):
    """Each locks budgets of its own and one of all: the order of ids keeps them from waiting for each other."""
    people = [world.person() for _ in range(16)]
    random.shuffle(people)
    for user in people[:8]:
        world.budget("USER", 2 * STANDARD, user=user)
    world.budget("ORGANIZATION", 20 * STANDARD)
    for user in people[8:]:
        world.budget("USER", 2 * STANDARD, user=user)
    assert sum(together(launched(world), [world.intent(user=user) for user in people * 3])) == 20
    assert_sums_agree()


def test_a_budget_that_came_while_the_guard_waited_is_seen(world):
    """The second budget commits while the guard waits for the lock of the first; it is not passed by."""
    user = world.person()
    first = world.budget("TEAM", 1000)
    with transaction.atomic():
        Budget.objects.select_for_update(no_key=True).get(pk=first.pk)
        waiting = threading.Thread(target=lambda: seen.append(attempt(world, user)))
        seen = []
        waiting.start()
        wait_until_somebody_waits_for_a_lock()
        in_a_thread(lambda: world.budget("USER", 1, user=user))
    waiting.join(timeout=30)
    assert seen == [RepairFirst]
    assert figures(first) == (0, 0)
    assert attempt(world, user) is guards.BudgetExceeded


def attempt(world, user):
    try:
        admit(world.intent(user=user), world.account)
    except (RepairFirst, guards.BudgetExceeded) as refusal:
        return type(refusal)
    finally:
        connection.close()
    return None


def in_a_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_a_budget_set_while_launches_run_holds_every_one_of_them(world):
    """Whether a launch came before the budget or after it, its machine is in the budget once."""
    admin = world.person("admin")
    intents = [world.intent(now=MARCH + HOUR) for _ in range(40)]

    def work(argument):
        if argument == "budget":
            return services.create(
                actor=Actor.of_user(admin),
                organization=world.organization,
                scope="ORGANIZATION",
                scope_id=world.organization.id,
                amount=Decimal(10_000),
                period_start=MARCH,
                period_end=APRIL,
                now=MARCH + HOUR,
            )
        return admit(argument, world.account)

    together(work, [*intents[:20], "budget", *intents[20:]])
    budget = Budget.objects.get()
    machines = set(WorkSpace.objects.values_list("id", flat=True))
    held = list(Reservation.objects.live().filter(budget=budget).values_list("workspace_id", flat=True))
    assert len(machines) == 40
    assert sorted(held) == sorted(machines)
    assert_sums_agree()


def test_at_the_turn_of_the_month_every_live_machine_is_in_the_new_row_once(world):
    """Launches that meet a row to adopt, and sweeps that adopt it, all at one instant."""
    old = world.budget("ORGANIZATION", 100_000, recurs="MONTHLY")
    for _ in range(8):
        world.launch(now=MARCH + HOUR)
    [new] = renewal.renew(budget_id=old.id, actor=Actor.job("test"), now=APRIL - HOUR)
    intents = [world.intent(now=APRIL) for _ in range(24)]
    jobs = [
        *(lambda i=intent: admit_with_repair(world, i) for intent in intents),
        *(lambda: adopt(budget_id=new.id, now=APRIL) for _ in range(4)),
    ]
    random.shuffle(jobs)
    together(lambda job: job(), jobs)
    machines = set(WorkSpace.objects.values_list("id", flat=True))
    held = list(Reservation.objects.live().values_list("workspace_id", "budget_id"))
    assert len(machines) == 32
    assert sorted(held) == sorted((machine, new.id) for machine in machines)
    assert_sums_agree()


def test_a_budget_is_recorded_after_its_scope_is_taken_over(world):
    """The audit lane is the last lock: whoever waits for a budget does not wait with the lane in hand."""
    machine = world.running()
    world.budget(amount=100)
    with CaptureQueriesContext(connection) as queries:
        services.create(
            actor=Actor.job("test"),
            organization=world.organization,
            scope="TEAM",
            scope_id=world.team.id,
            amount=Decimal(100),
            period_start=APRIL,
            period_end=MAY,
            now=APRIL + HOUR,
        )
    assert Reservation.objects.live().get().workspace_id == machine.id
    asked = [query["sql"] for query in queries]
    first_of_audit = min(number for number, sql in enumerate(asked) if "audit_" in sql)
    read_back = [sql for sql in asked[first_of_audit:] if "budgets_" in sql and "audit_" not in sql]
    assert all(sql.startswith("SELECT") and "FOR " not in sql for sql in read_back), read_back


def test_two_adopters_at_once_do_it_once(world):
    machines = [world.launch(now=MARCH) for _ in range(3)]
    rate = price(world)
    for machine in machines:
        spend(machine, Decimal("0.5"), hour=MARCH, rate=rate)
    budget = world.budget("ORGANIZATION", 1000, adopted_at=None)
    answers = together(lambda _: adopt(budget_id=budget.id, now=MARCH + HOUR), range(8))
    assert sorted(answers) == [False] * 7 + [True]
    assert Reservation.objects.filter(budget=budget).count() == 3
    assert figures(budget)[0] == Decimal("1.5")
    assert_sums_agree()


@pytest.mark.soak
def test_settling_releasing_launching_and_adopting_at_once_keep_the_sums(world, scale):
    """Everything that moves money, over crossing scopes, in random order: no deadlock, and every sum is right."""
    people = [world.person() for _ in range(6)]
    for user in people:
        world.budget("USER", 100_000, user=user)
    world.budget("TEAM", 100_000)
    machines = [world.launch(user=user, now=MARCH) for user in people for _ in range(3)]
    late = world.budget("ORGANIZATION", 100_000, adopted_at=None)
    project = world.budget("PROJECT", 100_000, adopted_at=None)
    rate = price(world, hourly=Decimal("0.3"))
    ended = machines[:6]

    def settle(machine, hour):
        with transaction.atomic():
            lock_machine_scopes(world, machine)
            spend(machine, Decimal("0.313105"), hour=hour, rate=rate)
            ledger.settle(charges=Charges([machine.id], [hour], [Decimal("0.313105")]), now=hour + HOUR)

    def release(machine):
        with transaction.atomic():
            lock_machine_scopes(world, machine)
            WorkSpace.objects.filter(pk=machine.pk).update(state="TERMINATED", terminated_at=MARCH + HOUR)
            ledger.release(workspaces=[machine], actor=Actor.job("test"), now=MARCH + HOUR)

    jobs = [
        *(
            lambda m=machine, h=hour: settle(m, MARCH + h * HOUR)
            for machine in machines
            for hour in range(scale(20, 4))
        ),
        *(lambda m=machine: release(m) for machine in ended),
        *(lambda u=user: admit_with_repair(world, world.intent(user=u)) for user in people for _ in range(2)),
        *(lambda b=budget: adopt(budget_id=b.id, now=MARCH + HOUR) for budget in (late, project) for _ in range(2)),
        *(
            lambda b=budget: thresholds.fire(budget_id=b.id, actor=Actor.job("test"), now=MARCH)
            for budget in (late, project)
        ),
    ]
    random.shuffle(jobs)
    together(lambda job: job(), jobs)
    assert_sums_agree()
    assert_spent_is_the_sum_of_the_records()
    assert not Reservation.objects.live().filter(workspace__in=ended).exists()


def lock_machine_scopes(world, machine):
    lock_scopes_of(world.intent(user=machine.owner, workspace=machine, project=machine.project))


def admit_with_repair(world, intent):
    try:
        return admit(intent, world.account)
    except RepairFirst as request:
        request.repair()
    return admit(intent, world.account)


def assert_spent_is_the_sum_of_the_records():
    columns = {"USER": "user_id", "TEAM": "team_id", "PROJECT": "project_id", "ORGANIZATION": "organization_id"}
    for budget in Budget.objects.filter(adopted_at__isnull=False):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT coalesce(sum(total_cost), 0) FROM costs_costrecord WHERE {columns[budget.scope]} = %s",
                [budget.scope_id],
            )
            assert budget.spent == cursor.fetchone()[0], budget


def test_many_sweeps_fire_a_mark_once(world):
    budget = world.budget(amount=10, spent=Decimal(9))
    fired = together(lambda _: thresholds.fire(budget_id=budget.id, actor=Actor.job("test"), now=MARCH), range(12))
    assert sum(map(len, fired)) == 1
