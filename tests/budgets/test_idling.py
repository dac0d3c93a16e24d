"""A budget at its limit: the idle machines that it stops, and those that would make room in it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from budgets import guards, making_room, sweep
from budgets.models import Budget, Reservation
from costs import metering
from costs.pricing import HOUR, hour_of, rest_of_month
from forge.db.models import JobSwitch
from forge.operations.models import Operation
from forge.outbox import sending
from forge.outbox.models import Mail
from tests.budgets.support import World, admit
from tests.workspaces.rules.support import idle_samples, sample
from workspaces.models import Decision, WorkLease, WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JOB = Actor.job("check_budgets")
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def world(now):
    metering.ensure_months(now, now + timedelta(days=40))
    return World()


def used_up(world, now, scope="TEAM", **fields):
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    terms = {"amount": 10, "spent": Decimal(10), "on_limit": "STOP_IDLE"} | fields
    return world.budget(scope, period_start=start, period_end=start + timedelta(days=60), **terms)


def running(world, now, *, idle=True, **facts):
    machine = world.running(now=now - 3 * HOUR)
    facts = {"provider_id": f"ws-{machine.id.hex[-9:]}", "state_since": now - 3 * HOUR} | facts
    WorkSpace.objects.filter(pk=machine.pk).update(**facts)
    Operation.objects.update(status="succeeded", finished_at=now, next_attempt_at=None)
    if idle:
        idle_samples(machine, now)
    machine.refresh_from_db()
    return machine


def check(now):
    figures = sweep.check_budgets(actor=JOB, now=now)
    return figures["idle_warned"], figures["idle_stopped"], figures["held_back"]


def stops():
    return set(Operation.objects.filter(kind="workspace.stop").values_list("target_id", flat=True))


def test_an_idle_machine_is_told_of_then_stopped_and_a_busy_one_runs_on(world, now, mailoutbox):
    machine, busy = running(world, now), running(world, now, idle=False)
    sample(busy, now, cpu=90)
    budget = used_up(world, now)
    assert check(now) == (1, 0, 0)
    assert (check(now + TEN_MINUTES / 2), stops()) == ((0, 0, 0), set())
    mail = Mail.objects.get(kind="budget.stops_idle")
    assert (mail.recipient_id, mail.target_id) == (machine.owner_id, machine.id)
    sending.send(now=now)
    assert (
        f"your machine {machine.name} is about to be stopped"
        in {one.subject for one in mailoutbox if "about" in one.subject}.pop()
    )
    idle_samples(machine, now + TEN_MINUTES, count=2)
    assert check(now + TEN_MINUTES) == (0, 1, 0)
    assert stops() == {machine.id}
    warned, stopped = Decision.objects.order_by("id")
    assert (warned.outcome, stopped.outcome, stopped.rule) == ("warned", "stop", "idle")
    assert stopped.inputs["because"]["budget"] == str(budget.id)
    assert stopped.inputs["evidence"]["is_idle"]
    entry = AuditLog.objects.get(action_type="WORKSPACE_STOP")
    assert (entry.actor_kind, entry.resource_id) == ("JOB", str(machine.id))
    assert entry.correlation_id == stopped.correlation_id
    assert entry.context["operation_id"] == str(stopped.operation_id)
    assert check(now + TEN_MINUTES) == (0, 0, 0)


@pytest.mark.parametrize("use", ["connection", "cpu"])
def test_use_voids_the_warning_and_people_are_told_anew_however_long_the_idle_time(world, now, use):
    """A twentieth of two days is longer than the warning holds, so that `last_activity_at` is not written meanwhile."""
    machine = running(world, now, auto_stop_timeout_minutes=2880, last_activity_at=now - timedelta(minutes=20))
    used_up(world, now)
    assert check(now) == (1, 0, 0)
    used_at = now + timedelta(minutes=2)
    if use == "connection":
        WorkSpace.objects.filter(pk=machine.pk).update(last_connected_at=used_at)
    else:
        sample(machine, used_at, cpu=90)
    later = now + timedelta(minutes=22)
    for step in range(1, 4):
        sample(machine, used_at + timedelta(minutes=5 * step))
    assert check(later) == (1, 0, 0)
    idle_samples(machine, later + TEN_MINUTES, count=2)
    assert check(later + TEN_MINUTES) == (0, 1, 0)


@pytest.mark.parametrize(
    "keeps", ["lease", "use", "always on", "raise", "another action", "paused", "refused", "no samples"]
)
def test_what_keeps_a_machine_from_being_stopped(world, now, keeps):
    machine = running(world, now)
    budget = used_up(world, now)
    assert check(now)[0] == 1
    later = now + TEN_MINUTES
    if keeps == "lease":
        WorkLease.objects.create(
            organization=world.organization, workspace=machine, until=later + HOUR, reason="a build",
            created_by=machine.owner, created_at=now,
        )  # fmt: skip
    elif keeps == "use":
        WorkSpace.objects.filter(pk=machine.pk).update(last_activity_at=now + timedelta(seconds=1))
    elif keeps == "always on":
        WorkSpace.objects.filter(pk=machine.pk).update(running_mode="ALWAYS_ON")
    elif keeps == "raise":
        Budget.objects.filter(pk=budget.pk).update(amount=11)
    elif keeps == "another action":
        Budget.objects.filter(pk=budget.pk).update(on_limit="BLOCK_STARTS")
    elif keeps == "paused":
        JobSwitch.objects.create(job="enforce_lifecycle", organization_id=world.organization.id)
    elif keeps == "refused":  # an automatic stop has failed, and the rules wait before the next
        WorkSpace.objects.filter(pk=machine.pk).update(stop_put_off_until=later + HOUR)
    else:
        sample(machine, later, cpu=None, connected=None)
    assert check(later)[1] == 0
    assert stops() == set()


def test_a_run_stops_no_more_than_the_rules_would_and_the_dry_run_counts_them(world, now, settings):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 2, 0
    sample(running(world, now, idle=False), now, cpu=90)
    for _ in range(3):
        running(world, now)
    used_up(world, now, "ORGANIZATION")
    assert sweep.check_budgets(actor=JOB, now=now, dry_run=True)["idle_warned"] == 3
    assert check(now)[0] == 2
    assert check(now)[0] == 1
    assert sweep.check_budgets(actor=JOB, now=now + TEN_MINUTES, dry_run=True)["idle_stopped"] == 3
    assert check(now + TEN_MINUTES) == (0, 2, 1)
    assert check(now + TEN_MINUTES) == (0, 1, 0)


def test_nobody_is_mailed_once_the_budget_has_room_again(world, now, mailoutbox):
    running(world, now)
    budget = used_up(world, now)
    check(now)
    Budget.objects.filter(pk=budget.pk).update(amount=11)
    sending.send(now=now)
    assert Mail.objects.get(kind="budget.stops_idle").state == "WITHDRAWN"


# -- Room --------------------------------------------------------------------------------------------------------------


def holding(machine, budget, amount, state="AVAILABLE"):
    WorkSpace.objects.filter(pk=machine.pk).update(state=state)
    held = {"remaining": Decimal(amount), "amount": Decimal(amount)}
    Reservation.objects.update_or_create(
        workspace=machine, budget=budget, released_at=None,
        defaults=held | {"organization": budget.organization, "correlation_id": machine.id},
    )  # fmt: skip
    return machine


def test_a_refusal_names_the_resting_and_idle_machines_that_the_person_sees_the_largest_first(world, now):
    lead = world.person("team_lead")
    rest, idle, busy, poor = (running(world, now, idle=number == 1) for number in range(4))
    budget = used_up(world, now, spent=Decimal(0), amount=1, on_limit="BLOCK_LAUNCHES")
    holding(rest, budget, 20, "STOPPED")
    holding(idle, budget, 30)
    holding(busy, budget, 40)
    owed = rest_of_month(Decimal("9.75"), hour_of(now))
    holding(poor, budget, min(owed, Decimal("0.000001")), "STOPPED")
    with pytest.raises(guards.BudgetExceeded) as refusal:
        admit(world.intent(user=lead, now=now), world.account)
    found = refusal.value.document()["make_room"]
    assert [(one["workspace"], Decimal(one["frees"])) for one in found] == [
        (str(idle.id), 30 - owed),
        (str(rest.id), 20 - owed),
    ]
    assert [(one["saves_per_hour"], one["actions"]) for one in found] == [
        ("0.300000", ["stop", "terminate"]),
        ("0.000000", ["terminate"]),
    ]
    shown = making_room.suggestions(budget_id=budget.id, user=rest.owner, now=now)
    assert [one["workspace"] for one in shown] == [str(rest.id)]
    assert making_room.suggestions(budget_id=budget.id, user=None, now=now) == []


def test_no_more_than_five_are_named(world, now):
    admin = world.person("admin")
    machines = [running(world, now, idle=False) for _ in range(7)]
    budget = used_up(world, now)
    for number, machine in enumerate(machines):
        holding(machine, budget, 20 + number, "STOPPED")
    found = making_room.suggestions(budget_id=budget.id, user=admin, now=now)
    frees = [Decimal(one["frees"]) for one in found]
    assert len(frees) == 5
    assert frees == sorted(frees, reverse=True)
