"""What budgets do by themselves: the next period, its adoption, marks, stale launches, and the mail they owe."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection

from audit.actors import Actor
from audit.models import AuditLog
from budgets import adoption, expiry, notices, sweep, tasks, thresholds
from budgets.models import Budget, BudgetThreshold, Reservation
from costs import metering
from costs.pricing import HOUR
from forge.accounts.models import User
from forge.api.errors import Refused
from forge.db.models import JobRun
from forge.operations.models import Operation
from forge.outbox import sending
from forge.outbox.models import Mail
from tests import factories
from tests.budgets.support import APRIL, MARCH, MAY, STANDARD, World, assert_sums_agree, figures
from tests.budgets.test_ledger import price, spend
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JOB = Actor.job("check_budgets")
DAY = timedelta(days=1)


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def check(now):
    return sweep.check_budgets(actor=JOB, now=now)


# -- The turn of a period ----------------------------------------------------------------------------------------------


def test_at_the_turn_every_live_machine_moves_to_the_new_row(world):
    old = world.budget(amount=500, recurs="MONTHLY")
    machines = [world.running(now=MARCH) for _ in range(3)]
    gone = machines.pop()
    WorkSpace.objects.filter(pk=gone.pk).update(state="TERMINATED", terminated_at=MARCH)
    check(APRIL - HOUR)
    assert check(APRIL)["adopted"] == 1
    new = Budget.objects.get(period_start=APRIL)
    assert figures(old) == (0, 0)
    assert figures(new) == (0, 2 * STANDARD)
    held = Reservation.objects.live().filter(budget=new)
    assert set(held.values_list("workspace_id", flat=True)) == {machine.id for machine in machines}
    assert_sums_agree()


def test_adoption_counts_the_hours_that_no_record_holds_yet(world):
    """Reading 30: what of the period is booked is spent, what is not is reserved, to the millionth."""
    machine = factories.WorkSpaceFactory(
        organization=world.organization, team=world.team, history=[(MARCH, "PENDING"), (MARCH, "AVAILABLE")]
    )
    now = MARCH + 10 * HOUR + timedelta(minutes=20)
    metering.meter(now=MARCH + 4 * HOUR)
    budget = world.budget(amount=500, adopted_at=None)
    adoption.adopt(budget_id=budget.id, now=now)
    spent, reserved = figures(budget)
    machine.refresh_from_db()
    assert spent == machine.cost_to_date
    booked_fees = spent - 4 * Decimal("0.30")
    assert reserved == Decimal("9.75") - booked_fees + 40 * Decimal("0.30")
    metering.meter(now=now)
    spent_later, reserved_later = figures(budget)
    machine.refresh_from_db()
    assert spent_later == machine.cost_to_date
    assert spent_later + reserved_later == spent + reserved


def test_what_nobody_carries_on_is_given_back_when_the_period_is_over(world):
    budget = world.budget(amount=500)
    world.running(now=MARCH)
    assert check(APRIL - HOUR)["emptied"] == 0
    assert check(APRIL)["emptied"] == 1
    assert figures(budget) == (0, 0)
    assert check(APRIL + HOUR)["emptied"] == 0


def test_a_period_that_is_long_over_is_not_looked_at_any_more(world):
    budget = world.budget(amount=500)
    world.running(now=MARCH)
    assert check(APRIL + thresholds.LATE_COST)["emptied"] == 0
    assert figures(budget) == (0, STANDARD)
    assert check(APRIL + thresholds.LATE_COST - HOUR)["emptied"] == 1


def test_a_machine_without_a_price_does_not_stop_an_adoption(world):
    factories.WorkSpaceFactory(
        organization=world.organization, team=world.team, region="nowhere-1", history=[(MARCH, "PENDING")]
    )
    budget = world.budget(adopted_at=None)
    assert check(MARCH)["adopted"] == 1
    assert figures(budget) == (0, 0)


def test_a_budget_adopted_after_its_period_has_the_spending_and_no_reservations(world):
    machine = world.running(now=MARCH)
    spend(machine, Decimal("3.5"), hour=MARCH, rate=price(world))
    budget = world.budget(adopted_at=None)
    assert check(APRIL + DAY)["adopted"] == 1
    assert figures(budget) == (Decimal("3.5"), 0)


# -- Marks -----------------------------------------------------------------------------------------------------------


def test_a_warning_is_told_once_and_the_limit_once(world):
    owner = world.person("engineer")
    budget = world.budget(amount=10, owner=owner, spent=Decimal("7.999999"))
    assert check(MARCH)["marks"] == 0
    Budget.objects.filter(pk=budget.pk).update(spent=8)
    assert check(MARCH)["marks"] == 1
    assert check(MARCH)["marks"] == 0
    Budget.objects.filter(pk=budget.pk).update(spent=11)
    assert check(MARCH)["marks"] == 1
    entries = AuditLog.objects.order_by("id").filter(resource_id=str(budget.id))
    assert {entry.action_type for entry in entries} == {"BUDGET_WARNING", "BUDGET_LIMIT_REACHED"}
    assert entries.count() == 2
    assert {entry.actor_kind for entry in entries} == {"JOB"}
    limit = entries.get(action_type="BUDGET_LIMIT_REACHED")
    assert (limit.context["limit"], limit.context["spent"]) == ("10.000000", "11.000000")


def test_what_is_not_adopted_switched_off_or_long_over_fires_nothing(world):
    full = {"amount": 1, "spent": Decimal(1)}
    world.budget("TEAM", adopted_at=None, period_start=APRIL, period_end=MAY, **full)
    world.budget("PROJECT", is_active=False, **full)
    world.budget("ORGANIZATION", period_start=MARCH - 60 * DAY, period_end=MARCH - 50 * DAY, **full)
    assert check(MARCH)["marks"] == 0


def test_a_late_cost_of_the_old_period_still_fires_there(world):
    budget = world.budget(amount=1, spent=Decimal(1))
    assert check(APRIL + DAY)["marks"] == 2
    assert not BudgetThreshold.objects.filter(budget=budget, fired_at__isnull=True).exists()


# -- Mail ------------------------------------------------------------------------------------------------------------


def fired(world, **fields):
    budget = world.budget(**({"amount": 10, "spent": Decimal(8)} | fields))
    thresholds.fire(budget_id=budget.id, actor=JOB, now=MARCH)
    return budget


def told():
    people = Mail.objects.filter(kind=notices.KIND).values("recipient_id")
    return sorted(User.objects.filter(id__in=people).values_list("email", flat=True))


def test_the_owner_the_teams_leads_and_finance_are_told_each_once(world):
    leads = [world.person("team_lead"), world.person("team_lead")]
    finance = world.person("finance")
    world.person("admin")
    world.person("finance", is_active=False)
    fired(world, owner=leads[0])
    assert told() == sorted(person.email for person in (*leads, finance))


def test_a_persons_budget_is_told_to_the_leads_of_the_persons_teams(world):
    user, lead = world.person(), world.person("team_lead")
    fired(world, scope="USER", user=user)
    assert told() == [lead.email]


@pytest.mark.parametrize("scope", ["TEAM", "PROJECT", "ORGANIZATION"])
def test_where_there_is_none_of_them_the_admins_are_told(world, scope):
    admin = world.person("admin")
    fired(world, scope=scope, owner=world.person("engineer", is_active=False))
    assert told() == [admin.email]
    Mail.objects.all().delete()
    BudgetThreshold.objects.update(fired_at=None)
    finance = world.person("finance")
    thresholds.fire(budget_id=Budget.objects.get().id, actor=JOB, now=MARCH)
    assert told() == [finance.email]


def test_the_mail_about_a_mark_has_the_figures_of_its_moment(world, mailoutbox):
    owner = world.person()
    budget = fired(world, owner=owner)
    Budget.objects.filter(pk=budget.pk).update(spent=Decimal("9.99"), amount=900)
    assert sending.send(now=MARCH) == {"sent": 1, "failed": 0, "given_up": 0, "withdrawn": 0}
    [message] = mailoutbox
    assert message.to == [owner.email]
    assert message.subject == f"Forge: the team budget of {world.team.slug} has passed 80%"
    page = message.alternatives[0].content
    for figure in ("10.00 USD", "8.00 USD", "2026-03-01T00:00:00Z", "2026-03-01 00:00 UTC", "Nothing is blocked yet"):
        assert figure in message.body
        assert figure in page
    assert Mail.objects.get().target_id == budget.id


def test_a_mark_and_its_mail_share_a_correlation_and_no_mail_outlives_a_mark_that_failed(world, monkeypatch):
    fired(world, owner=world.person())
    assert Mail.objects.get().correlation_id == AuditLog.objects.get(action_type="BUDGET_WARNING").correlation_id

    def fail(**kwargs):
        raise ConnectionError

    BudgetThreshold.objects.update(fired_at=None)
    Mail.objects.all().delete()
    monkeypatch.setattr(thresholds, "record", fail)
    with pytest.raises(ConnectionError):
        thresholds.fire(budget_id=Budget.objects.get().id, actor=JOB, now=MARCH)
    assert not Mail.objects.exists()


def test_the_consequence_is_told_in_the_terms_of_the_budget(world, mailoutbox):
    fired(world, owner=world.person(), spent=Decimal(10), on_limit="BLOCK_STARTS")
    sending.send(now=MARCH)
    limit = next(message for message in mailoutbox if "is used up" in message.subject)
    assert "Launches and starts are refused" in limit.body


# -- Stale launches --------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(world):
    """A budget and a launch that nobody has tried to carry out."""
    budget = world.budget(amount=500)
    machine = world.launch(now=MARCH)
    return budget, machine, Operation.objects.get(target_id=machine.id)


def test_a_launch_that_came_to_nothing_is_called_off_after_a_day(launched):
    budget, machine, operation = launched
    assert check(MARCH + DAY - HOUR)["called_off"] == 0
    assert figures(budget) == (0, STANDARD)
    assert check(MARCH + DAY)["called_off"] == 1
    machine.refresh_from_db()
    operation.refresh_from_db()
    assert (machine.state, operation.status) == ("FAILED", "cancelled")
    assert figures(budget) == (0, 0)


def test_the_day_counts_from_the_last_attempt(launched):
    budget, _, operation = launched
    Operation.objects.filter(pk=operation.pk).update(heartbeat_at=MARCH + 5 * HOUR)
    assert check(MARCH + DAY + 4 * HOUR)["called_off"] == 0
    assert check(MARCH + DAY + 5 * HOUR)["called_off"] == 1
    assert figures(budget) == (0, 0)


@pytest.mark.parametrize("fields", [{"cancellable": False}, {"cancellable": False, "status": "unknown"}])
def test_a_launch_whose_outcome_nobody_knows_keeps_its_money(launched, fields):
    budget, machine, operation = launched
    Operation.objects.filter(pk=operation.pk).update(**fields)
    assert check(MARCH + 20 * DAY)["called_off"] == 0
    machine.refresh_from_db()
    assert machine.state == "PENDING"
    assert figures(budget) == (0, STANDARD)


def test_a_machine_that_has_been_available_never_expires(launched):
    budget, machine, _ = launched
    WorkSpace.objects.filter(pk=machine.pk).update(state="STOPPED", launched_at=MARCH)
    assert check(MARCH + 20 * DAY)["called_off"] == 0
    assert figures(budget) == (0, STANDARD)


def test_a_launch_that_moves_on_meanwhile_is_left_alone(launched):
    _, _, operation = launched
    Operation.objects.filter(pk=operation.pk).update(heartbeat_at=MARCH + DAY)
    assert expiry.call_off(operation_id=operation.id, actor=JOB, now=MARCH + DAY) is False


# -- Runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [DatabaseError("broken"), LookupError("no room words it"), Refused("it cannot be")])
def test_a_budget_that_fails_does_not_keep_the_others_from_it(world, monkeypatch, error):
    bad = world.budget("TEAM", 1, spent=Decimal(1))
    good = world.budget("PROJECT", 1, spent=Decimal(1))
    fire = thresholds.fire

    def break_for_one(*, budget_id, **more):
        if budget_id == bad.id:
            raise error
        return fire(budget_id=budget_id, **more)

    monkeypatch.setattr(thresholds, "fire", break_for_one)
    with pytest.raises(sweep.BudgetsFailed, match=str(bad.id)):
        check(MARCH)
    assert good.thresholds.filter(fired_at__isnull=True).count() == 0


def test_the_task_claims_its_slot_and_leaves_its_mail_due(world):
    budget = world.budget(amount=1, spent=Decimal(1), owner=world.person())
    Budget.objects.filter(pk=budget.pk).update(period_end=MARCH + 5000 * DAY)
    assert tasks.check_budgets()["marks"] == 2
    assert tasks.check_budgets() is None
    assert JobRun.objects.get().job == "check_budgets"
    assert Mail.objects.filter(state=Mail.State.DUE).count() == 2


def run(*arguments):
    out = StringIO()
    call_command("check_budgets", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_does_what_the_job_does_and_a_dry_run_nothing(world, mailoutbox):
    world.budget(amount=1, spent=Decimal(1), recurs="MONTHLY", owner=world.person())
    now = "2026-04-01T00:30:00+00:00"
    dry = json.loads(run("--now", now, "--dry-run", "--json"))
    assert (dry["renewed"], dry["marks"], dry["dry_run"]) == (1, 1, True)
    assert Budget.objects.count() == 1
    assert not AuditLog.objects.exists()
    done = json.loads(run("--now", now, "--json"))
    assert (done["renewed"], done["adopted"], done["marks"]) == (1, 1, 2)
    assert Mail.objects.filter(state=Mail.State.DUE).count() == 2
    assert not mailoutbox
    assert "0 renewed" in run("--now", now)


@pytest.mark.parametrize("state", ["40P01", "55P03", "57014", "54000"])
def test_a_deadlock_a_lock_or_a_limit_of_time_that_one_budget_meets_keeps_no_other_from_it(world, monkeypatch, state):
    bad, good = world.budget("TEAM", 1, spent=Decimal(1)), world.budget("PROJECT", 1, spent=Decimal(1))
    fire = thresholds.fire

    def break_for_one(*, budget_id, **more):
        if budget_id == bad.id:
            with connection.cursor() as cursor:
                cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'as it may be' USING ERRCODE = '{state}'; END $$")
        return fire(budget_id=budget_id, **more)

    monkeypatch.setattr(thresholds, "fire", break_for_one)
    with pytest.raises(sweep.BudgetsFailed, match=str(bad.id)):
        check(MARCH)
    assert good.thresholds.filter(fired_at__isnull=True).count() == 0


def test_without_a_connection_the_run_ends(world, monkeypatch):
    for scope in ("TEAM", "PROJECT"):
        world.budget(scope, 1, spent=Decimal(1))
    tried = []

    def lose(*, budget_id, **more):
        tried.append(budget_id)
        connection.close()
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(thresholds, "fire", lose)
    with pytest.raises(OperationalError):
        check(MARCH)
    assert len(tried) == 1


def test_a_budget_that_fails_keeps_no_other_from_its_mail(world, monkeypatch):
    world.budget(amount=10, spent=Decimal(9), owner=world.person())
    broken = world.budget("PROJECT", adopted_at=None)

    def fail(*, budget_id, now):
        raise DatabaseError("broken")

    monkeypatch.setattr(sweep, "adopt", fail)
    with pytest.raises(CommandError, match=str(broken.id)):
        run("--now", MARCH.isoformat())
    assert Mail.objects.count() == 1


def test_the_command_says_what_it_cannot_read(world):
    with pytest.raises(CommandError):
        run("--now", "yesterday")
