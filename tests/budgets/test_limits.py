"""Limits that move: raises for a time, transfers between teams, and thresholds of one's own."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from audit.actors import Actor
from audit.models import AuditLog
from budgets import guards, permissions, raising, renewal, services, sweep, terms, thresholds, transferring
from budgets.models import Budget, BudgetRaise
from costs import metering
from costs.pricing import HOUR
from forge.api.errors import PreconditionFailed
from tests import factories
from tests.budgets.support import APRIL, MARCH, MAY, STANDARD, World, admit, assert_sums_agree, figures
from tests.budgets.test_ledger import price, settle
from tests.budgets.test_races import wait_until_somebody_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JOB = Actor.job("check_budgets")
COMMAND = Actor.command("test")
DAY = timedelta(days=1)
WHY = "a release is due"


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def raised(budget, amount, *, until=MARCH + DAY, now=MARCH, actor=COMMAND):
    return raising.raise_limit(
        actor=actor, budget_id=budget.id, amount=Decimal(amount), ends_at=until, reason=WHY, now=now
    )


def fresh(budget):
    return Budget.objects.get(pk=budget.pk)


# -- Raises ------------------------------------------------------------------------------------------------------------


def test_a_raise_admits_until_its_hour_and_ends_to_the_instant_before_any_sweep(world):
    budget = world.budget(amount=STANDARD)
    world.running()
    raised(budget, 2 * STANDARD)
    world.launch(now=MARCH + DAY - timedelta(microseconds=1))
    assert fresh(budget).raised == 2 * STANDARD
    with pytest.raises(guards.BudgetExceeded) as refusal:
        world.launch(now=MARCH + DAY)
    assert Decimal(refusal.value.extra["limit"]) == STANDARD
    assert sweep.check_budgets(actor=JOB, now=MARCH + DAY)["raises_ended"] == 1
    budget = fresh(budget)
    assert (budget.raised, budget.limit, budget.remaining) == (0, STANDARD, 0)
    assert BudgetRaise.objects.get().ended_at == MARCH + DAY
    assert sweep.check_budgets(actor=JOB, now=MARCH + DAY)["raises_ended"] == 0
    assert_sums_agree()
    kinds = ["BUDGET_RAISE", "BUDGET_RAISE_END"]
    entries = AuditLog.objects.filter(action_type__in=kinds).order_by("timestamp")
    assert [(entry.action_type, entry.actor_kind) for entry in entries] == [(kinds[0], "COMMAND"), (kinds[1], "JOB")]
    assert entries[1].changes == {"before": {"raised": "43.500000"}, "after": {"raised": "0.000000"}}


@pytest.mark.parametrize(("now", "topped_up"), [(MARCH + HOUR, 1), (MARCH + DAY + HOUR, 0)])
def test_what_is_topped_up_keeps_to_the_limit_of_the_instant(world, now, topped_up):
    """Metering fills a reservation up under a raise, and no more once its time is over, swept or not."""
    budget = world.budget(amount=STANDARD)
    machine = world.running(now=MARCH)
    raised(budget, 1000)
    rate = price(world, hourly=Decimal("0.30"))
    answer = settle(machine, Decimal("21.00"), hour=now - HOUR, rate=rate, now=now)
    assert (answer.topped_up, answer.short) == (topped_up, 1 - topped_up)
    assert_sums_agree()


def test_two_raises_count_together_and_each_ends_at_its_own_hour(world):
    budget = world.budget(amount=10)
    first, second = raised(budget, 5), raised(budget, 7, until=MARCH + 2 * DAY)
    assert fresh(budget).limit == 22
    sweep.check_budgets(actor=JOB, now=MARCH + DAY)
    assert (fresh(budget).limit, BudgetRaise.objects.open().get()) == (17, second)
    ended = raising.end_raise(actor=COMMAND, raise_id=second.id, now=MARCH + DAY)
    assert (ended.ended_at, fresh(budget).limit) == (MARCH + DAY, 10)
    for one in (first, second):
        with pytest.raises(raising.RaiseHasEnded):
            raising.end_raise(actor=COMMAND, raise_id=one.id, now=MARCH + DAY)


def test_a_raise_arms_the_marks_and_its_end_lets_them_fire_again(world):
    budget = world.budget(amount=10, spent=Decimal(10))
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 2
    raised(budget, 10)
    assert budget.thresholds.filter(fired_at=None).count() == 2
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 0
    assert sweep.check_budgets(actor=JOB, now=MARCH + DAY)["marks"] == 2


def test_a_raise_is_not_carried_to_the_next_period(world):
    budget = world.budget(amount=10, recurs="MONTHLY")
    raised(budget, 5, until=APRIL)
    sweep.check_budgets(actor=JOB, now=APRIL)
    assert Budget.objects.get(period_start=APRIL).limit == 10
    assert fresh(budget).raised == 0


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"amount": 0}, raising.RaiseRefused),
        ({"amount": "-1"}, terms.AmountOutOfRange),
        ({"amount": terms.MOST}, terms.AmountOutOfRange),
        ({"until": MARCH + timedelta(minutes=30)}, raising.RaiseRefused),
        ({"until": MARCH}, raising.RaiseRefused),
        ({"until": APRIL + HOUR}, raising.RaiseRefused),
        ({"now": APRIL, "until": APRIL + HOUR}, terms.PeriodIsOver),
    ],
)
def test_what_is_no_raise_is_refused_and_changes_nothing(world, changes, refusal):
    budget = world.budget(amount=10)
    with pytest.raises(refusal):
        raised(budget, **({"amount": 5} | changes))
    assert fresh(budget).limit == 10
    assert not BudgetRaise.objects.exists()
    assert not AuditLog.objects.exists()


def test_leads_neither_raise_nor_move_money_nor_raise_for_good_what_a_raise_covers(world):
    """A raise is no cover under which a lead lifts what is used up."""
    lead, user = world.person("team_lead"), world.person()
    world.budget(amount=100)
    budget = world.budget("USER", 10, user=user, spent=Decimal(11))
    with pytest.raises(permissions.MayNotRaisePastLimit):
        raised(budget, 5, actor=Actor.of_user(lead))
    raised(budget, 5)
    assert not fresh(budget).is_limit_reached
    with pytest.raises(permissions.MayNotRaisePastLimit):
        services.change(actor=Actor.of_user(lead), budget_id=budget.id, amount=Decimal(12), now=MARCH)


# -- Transfers ---------------------------------------------------------------------------------------------------------


def other_team(world, amount=100, **fields):
    team = factories.TeamFactory(organization=world.organization)
    return factories.BudgetFactory(
        organization=world.organization, scope="TEAM", scope_id=team.id, amount=Decimal(amount), **fields
    )


def moved(giver, receiver, amount, *, actor=COMMAND, now=MARCH, **more):
    return transferring.transfer(
        actor=actor, giver_id=giver.id, receiver_id=receiver.id, amount=Decimal(amount), reason=WHY, now=now, **more
    )


def test_a_transfer_moves_what_is_free_for_this_period_under_one_correlation(world):
    giver = world.budget(amount=100, spent=Decimal(30), reserved=Decimal(20), recurs="MONTHLY")
    receiver = other_team(world, 10, spent=Decimal(10))
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 2
    with pytest.raises(transferring.NothingToGive) as refusal:
        moved(giver, receiver, "50.000001")
    assert refusal.value.extra["free"] == "50.000000"
    moved(giver, receiver, 50)
    giver, receiver = fresh(giver), fresh(receiver)
    assert (giver.amount, giver.limit, giver.remaining) == (100, 50, 0)
    assert (receiver.limit, receiver.remaining) == (60, 50)
    assert receiver.thresholds.filter(fired_at=None).count() == 2
    entries = AuditLog.objects.filter(action_type="BUDGET_TRANSFER")
    assert {entry.resource_id for entry in entries} == {str(giver.id), str(receiver.id)}
    assert len({entry.correlation_id for entry in entries}) == 1
    assert WHY in str(entries[0].personal)
    assert WHY not in str(entries[0].content)
    [row] = renewal.renew(budget_id=giver.id, actor=JOB, now=APRIL - HOUR)
    assert row.limit == 100


def test_what_was_raised_for_a_time_is_not_given_away(world):
    giver, receiver = world.budget(amount=10, spent=Decimal(8)), other_team(world)
    raised(giver, 100)
    with pytest.raises(transferring.NothingToGive):
        moved(giver, receiver, 3)
    moved(giver, receiver, 2)
    assert fresh(giver).limit == 108


def test_what_was_given_is_not_taken_out_of_the_amount_again(world):
    giver, receiver = world.budget(amount=100), other_team(world)
    moved(giver, receiver, 60)
    with pytest.raises(terms.AmountOutOfRange):
        services.change(actor=COMMAND, budget_id=giver.id, amount=Decimal("59.999999"), now=MARCH)
    services.change(actor=COMMAND, budget_id=giver.id, amount=Decimal(60), now=MARCH)
    assert fresh(giver).limit == 0
    with pytest.raises(IntegrityError, match="gives_no_more_than_it_has"), transaction.atomic():
        Budget.objects.filter(pk=giver.pk).update(amount=59)


def test_money_moves_between_teams_budgets_in_force_alone(world):
    giver, stranger = world.budget(amount=100), World()
    for other in (
        giver,
        world.budget("ORGANIZATION"),
        other_team(world, adopted_at=None),
        other_team(world, is_active=False),
        other_team(world, period_start=APRIL, period_end=MAY),
    ):
        with pytest.raises(transferring.TransferRefused):
            moved(giver, other, 1)
    finance = Actor.of_user(world.person("finance"))
    with pytest.raises(permissions.MayNotSetBudget):
        moved(giver, stranger.budget(), 1, actor=finance)
    receiver = other_team(world)
    with pytest.raises(PreconditionFailed):
        moved(giver, receiver, 1, actor=finance, if_match=frozenset({"7"}))
    for role in ("team_lead", "engineer", "auditor"):
        with pytest.raises((permissions.MayNotRaisePastLimit, permissions.MayNotSetBudget)):
            moved(giver, receiver, 1, actor=Actor.of_user(world.person(role)))
    assert set(Budget.objects.values_list("transferred", flat=True)) == {0}
    assert not AuditLog.objects.filter(action_type="BUDGET_TRANSFER").exists()


def test_a_launch_finds_what_was_moved(world):
    giver, receiver = other_team(world, 2 * STANDARD), world.budget(amount=0)
    with pytest.raises(guards.BudgetExceeded):
        world.launch()
    moved(giver, receiver, STANDARD)
    admit(world.intent(), world.account)
    assert figures(receiver) == (0, STANDARD)


# -- Thresholds --------------------------------------------------------------------------------------------------------


def test_thresholds_are_replaced_and_what_stays_keeps_when_it_fired(world):
    budget = world.budget(amount=10, spent=Decimal(9))
    thresholds.fire(budget_id=budget.id, actor=JOB, now=MARCH)
    wanted = [Decimal("1.2"), Decimal("0.8"), Decimal("0.5")]
    services.change(actor=COMMAND, budget_id=budget.id, fractions=wanted, now=MARCH)
    rows = list(budget.thresholds.order_by("fraction").values_list("fraction", "fired_at"))
    assert rows == [(Decimal("0.5"), None), (Decimal("0.8"), MARCH), (Decimal("1.2"), None)]
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 1
    Budget.objects.filter(pk=budget.pk).update(spent=12)
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 1
    assert sweep.check_budgets(actor=JOB, now=MARCH)["marks"] == 0
    entry = AuditLog.objects.get(action_type="BUDGET_UPDATE")
    assert entry.changes["before"] == {"thresholds": ["0.8000", "1.0000"]}
    assert entry.changes["after"] == {"thresholds": ["0.5", "0.8", "1.2"]}


def test_thresholds_are_carried_to_the_next_period_and_a_change_reaches_the_row_that_waits(world):
    budget = world.budget(amount=10, recurs="MONTHLY")
    services.change(actor=COMMAND, budget_id=budget.id, fractions=[Decimal("0.25")], now=MARCH)
    [row] = renewal.renew(budget_id=budget.id, actor=JOB, now=APRIL - HOUR)
    assert [one.fraction for one in row.thresholds.all()] == [Decimal("0.25")]
    services.change(actor=COMMAND, budget_id=budget.id, fractions=[Decimal("0.75")], now=APRIL - HOUR)
    assert [one.fraction for one in row.thresholds.all()] == [Decimal("0.75")]


def test_switching_on_takes_the_budgets_in_the_order_of_a_transfer(world, make_app_connection):
    """Whoever holds the earlier period's budget gets the one that is switched on: nobody waits crosswise."""
    earlier = world.budget(amount=100, period_start=MARCH - 28 * DAY, period_end=MARCH)
    world.running(now=MARCH - DAY)
    later = world.budget(amount=100, is_active=False, adopted_at=None)
    assert earlier.id < later.id
    lock = "SELECT 1 FROM budgets_budget WHERE id = %s FOR NO KEY UPDATE NOWAIT"
    giving = make_app_connection()
    giving.execute(lock, [earlier.id])

    def switch_on():
        try:
            services.change(actor=COMMAND, budget_id=later.id, is_active=True, now=MARCH + HOUR)
        finally:
            connection.close()

    switching = threading.Thread(target=switch_on)
    switching.start()
    wait_until_somebody_waits_for_a_lock()
    giving.execute(lock, [later.id])
    giving.rollback()
    switching.join(timeout=30)
    assert fresh(later).adopted_at == MARCH + HOUR
    assert figures(earlier) == (0, 0)
    assert_sums_agree()
