"""Accepting, putting off and dismissing; and what accepted advice has saved afterwards."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from audit.actors import Actor
from audit.models import AuditLog
from budgets.guards import BudgetExceeded
from costs.advice import services
from costs.advice.following import follow
from costs.models import Advice, AdviceSaving, CostRecord, Price
from costs.pricing import hour_of
from forge.operations.models import Operation
from tests import factories
from tests.budgets.threads import together
from tests.costs.advice.support import DAY, NOW, advised, booked, machine, sampled, standing, stopped, told
from tests.factories import write_history
from tests.world import actor
from workspaces.models import ConfigurationChange, WorkSpace
from workspaces.permissions import MayNotControl
from workspaces.resizing import TooSoon
from workspaces.services.control import IllegalInThisState, OperationInProgress

JOB = Actor.job("advise_costs")


def shrinking(world, **facts):
    """The advice to make a machine smaller."""
    row = machine(world, bundle_type="PERFORMANCE", **facts)
    sampled(row, memory=35.0)
    booked(row, hours=[9, 10])
    advised()
    return Advice.objects.get(workspace=row)


def accept(world, advice, who="engineer", now=NOW):
    return services.accept(actor=actor(getattr(world, who)), advice_id=advice.pk, now=now)


def make(advice, at, **fields):
    """The machine as AWS was seen to have changed it; the operation has ended."""
    WorkSpace.objects.filter(pk=advice.workspace_id).update(configured_at=at, **fields)
    Operation.objects.filter(pk=advice.operation_id).update(status="succeeded", finished_at=at, next_attempt_at=None)
    advice.refresh_from_db()


@pytest.mark.django_db
def test_accepting_carries_the_change_out_once(world):
    advice = shrinking(world)
    answer = accept(world, advice)
    operation = answer.operation
    assert (operation.kind, operation.target_id) == ("workspace.modify", advice.workspace_id)
    assert operation.spec["after"] == {"bundle_type": "STANDARD"}
    advice.refresh_from_db()
    assert (advice.status, advice.operation_id, advice.decided_by) == ("ACCEPTED", operation.id, world.engineer)
    assert accept(world, advice).operation.id == operation.id
    assert Operation.objects.count() == 1
    assert told(advice) == [("ADVICE_OPEN", "JOB"), ("ADVICE_ACCEPT", "USER"), ("ADVICE_ACCEPT", "USER")]
    assert AuditLog.objects.filter(action_type="WORKSPACE_MODIFY").count() == 1
    assert advised(NOW + timedelta(hours=1))["opened"] == 0
    with pytest.raises(services.AdviceDecided):
        services.dismiss(actor=actor(world.engineer), advice_id=advice.pk, reason="no", now=NOW)


@pytest.mark.django_db
def test_ending_and_stopping_are_carried_out_too(world):
    unused = stopped(world)
    unattended = machine(world, owner=world.lead, since=NOW - 3 * DAY)
    sampled(unattended, hours=[], days=3, always=True)
    advised()
    kinds = {accept(world, Advice.objects.get(workspace=row), "admin").operation.kind for row in (unused, unattended)}
    assert kinds == {"workspace.terminate", "workspace.stop"}


@pytest.mark.django_db
def test_a_decision_needs_what_the_change_itself_needs(world):
    advice = shrinking(world, owner=world.contractor)
    for who in ("contractor", "engineer", "finance", "auditor"):
        with pytest.raises(MayNotControl):
            accept(world, advice, who)
        with pytest.raises(MayNotControl):
            services.dismiss(actor=actor(getattr(world, who)), advice_id=advice.pk, reason="no", now=NOW)
    elsewhere = factories.UserFactory()
    factories.MembershipFactory(user=elsewhere, team=None, role="admin")
    with pytest.raises(MayNotControl):
        services.accept(actor=actor(elsewhere), advice_id=advice.pk, now=NOW)
    assert accept(world, advice, "lead").advice.status == "ACCEPTED"
    with pytest.raises(MayNotControl):
        accept(world, advice, "finance")


@pytest.mark.django_db
def test_a_refusal_leaves_the_advice_open(world):
    row = machine(world)
    booked(row, hours=range(8, 18))
    advised()
    advice = Advice.objects.get()
    month = NOW.replace(day=1, hour=0, minute=0)
    factories.BudgetFactory(organization=world.organization, amount=1, period_start=month, period_end=month + 30 * DAY)
    with pytest.raises(BudgetExceeded):
        accept(world, advice)
    WorkSpace.objects.filter(pk=row.pk).update(state="TERMINATED", terminated_at=NOW)
    with pytest.raises(IllegalInThisState):
        accept(world, advice)
    assert standing(row) == [("RUNNING_MODE", "MODIFY", {"running_mode": "ALWAYS_ON"}, "OPEN")]
    assert not Operation.objects.exists()
    assert told(advice) == [("ADVICE_OPEN", "JOB")]


@pytest.mark.django_db
def test_aws_limits_and_other_operations_refuse_as_for_the_person_themself(world):
    advice = shrinking(world)
    facts = {"root_volume_gb": 80, "user_volume_gb": 100, "auto_stop_timeout_minutes": 60, "running_mode": "AUTO_STOP"}
    sides = {f"{side}_{name}": value for side in ("before", "after") for name, value in facts.items()}
    ConfigurationChange.objects.create(
        organization=world.organization, workspace=advice.workspace, occurred_at=NOW - DAY, **sides,
        before_bundle_type="POWER", after_bundle_type="PERFORMANCE",
    )  # fmt: skip
    with pytest.raises(TooSoon):
        accept(world, advice)
    services.machines.reboot(actor=actor(world.engineer), workspace_id=advice.workspace_id, now=NOW + 40 * DAY)
    with pytest.raises(OperationInProgress):
        accept(world, advice, now=NOW + 40 * DAY)
    advice.refresh_from_db()
    assert advice.status == "OPEN"


@pytest.mark.django_db
def test_what_the_price_or_the_use_has_overtaken_is_not_carried_out(world):
    advice = shrinking(world)
    smaller = Price.objects.filter(
        bundle_type="STANDARD", operating_system="LINUX", running_mode="AUTO_STOP", region="us-east-1"
    )
    smaller.update(hourly_amount=Decimal("0.40"))
    assert accept(world, advice).advice.saving_amount < advice.saving_amount
    Advice.objects.update(status="OPEN", reason="", decided_at=None, operation_id=None)
    Operation.objects.all().delete()
    smaller.update(hourly_amount=Decimal("0.60"))
    with pytest.raises(services.AdviceOutdated) as refusal:
        accept(world, advice)
    assert refusal.value.extra["proposed"] == []
    advice.refresh_from_db()
    assert advice.status == "OPEN"


@pytest.mark.django_db
def test_what_was_put_off_is_open_again_when_its_time_has_come(world):
    advice = shrinking(world)
    given = {"actor": actor(world.engineer), "advice_id": advice.pk, "now": NOW}
    with pytest.raises(services.SnoozeInPast):
        services.snooze(until=NOW, reason="later", **given)
    services.snooze(until=NOW + 2 * DAY, reason="after the release", **given)
    advised(NOW + DAY)
    advice.refresh_from_db()
    assert (advice.status, advice.reason, advice.decided_by) == ("SNOOZED", "after the release", world.engineer)
    advised(NOW + 2 * DAY)
    advice.refresh_from_db()
    assert (advice.status, advice.reason, advice.decided_by) == ("OPEN", "", None)
    dismissed = services.dismiss(reason="it builds at night", **given)
    assert (dismissed.status, dismissed.snoozed_until) == ("DISMISSED", None)
    assert [action for action, _ in told(advice)] == ["ADVICE_OPEN", "ADVICE_SNOOZE", "ADVICE_OPEN", "ADVICE_DISMISS"]


# -- Savings ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_smaller_bundle_saves_what_its_hours_cost_less(world):
    advice = shrinking(world)
    accept(world, advice)
    assert (follow(actor=JOB, now=NOW).effective, AdviceSaving.objects.count()) == (0, 0)
    made_at = NOW + timedelta(minutes=20)
    make(advice, made_at, bundle_type="STANDARD")
    first, may = NOW.replace(hour=7, minute=0), datetime(2026, 5, 1, tzinfo=UTC)
    booked(advice.workspace, hours=[9, 10], since=first, until=may + DAY, fee="0.02", hourly="0.30")
    figures = follow(actor=JOB, now=may + DAY + timedelta(minutes=5))
    assert (figures.effective, figures.reckoned, figures.closed) == (1, 1, 0)
    advice.refresh_from_db()
    assert advice.effective_at == made_at
    april, then = AdviceSaving.objects.order_by("month")
    # 425 hours of April's 720, two started ones on each of 18 days: 13 less 13 * 295 / 720, and 36 * 0.47.
    before = Decimal(13) - (Decimal(13) * 295 / 720).quantize(Decimal("0.000001")) + 36 * Decimal("0.47")
    assert (april.month.month, april.would_have_cost, april.basis) == (4, before, "METERED")
    assert april.booked_cost == 425 * Decimal("0.02") + 36 * Decimal("0.30")
    assert april.saved_amount == april.would_have_cost - april.booked_cost
    assert then.through == may + DAY
    CostRecord.objects.filter(period_start__lt=may).update(total_cost=0, compute_cost=0)
    follow(actor=JOB, now=datetime(2026, 6, 20, tzinfo=UTC))
    april.refresh_from_db()
    assert april.saved_amount == before  # the last two months follow late corrections
    CostRecord.objects.update(total_cost=1, compute_cost=1)
    follow(actor=JOB, now=datetime(2026, 9, 20, tzinfo=UTC))
    april.refresh_from_db()
    assert april.saved_amount == before  # older ones are settled


@pytest.mark.django_db
def test_the_comparison_ends_with_the_next_change_and_is_closed_later(world):
    advice = shrinking(world)
    accept(world, advice)
    make(advice, NOW + timedelta(minutes=30), bundle_type="STANDARD")
    make(advice, NOW + timedelta(hours=10, minutes=30), bundle_type="PERFORMANCE")
    booked(advice.workspace, hours=[], since=NOW.replace(minute=0), until=NOW.replace(minute=0) + DAY, fee="0.01")
    follow(actor=JOB, now=NOW + 3 * DAY)
    saving = AdviceSaving.objects.get()
    assert saving.through == NOW.replace(hour=17, minute=0)
    assert saving.booked_cost == 10 * Decimal("0.01")
    assert follow(actor=JOB, now=NOW + 80 * DAY).closed == 1
    assert follow(actor=JOB, now=NOW + 81 * DAY).reckoned == 0


@pytest.mark.django_db
def test_always_on_saves_against_the_hours_that_its_connections_would_have_taken(world):
    row = machine(world)
    booked(row, hours=range(8, 18))
    advised()
    advice = Advice.objects.get()
    accept(world, advice)
    made_at = NOW.replace(hour=0, minute=0) - timedelta(minutes=1) + DAY
    Advice.objects.update(decided_at=made_at)
    make(advice, made_at, running_mode="ALWAYS_ON")
    first = NOW.replace(hour=0, minute=0) + DAY
    sampled(advice.workspace, hours=range(8, 18), days=4, until=first + 4 * DAY, always=True)
    booked(advice.workspace, hours=[], since=first, until=first + 4 * DAY, mode="ALWAYS_ON", fee="0.06")
    follow(actor=JOB, now=first + 4 * DAY)
    saving = AdviceSaving.objects.get()
    # Ten hours connected and one after them, four days; 96 of April's 720 hours of 9.75.
    assert saving.would_have_cost == Decimal("1.300000") + 44 * Decimal("0.30")
    assert (saving.booked_cost, saving.basis) == (96 * Decimal("0.06"), "ESTIMATED")


@pytest.mark.django_db
def test_an_ended_machine_saves_its_fees_to_the_end_of_its_lifetime(world):
    row = stopped(world, max_lifetime_days=90)
    WorkSpace.objects.filter(pk=row.pk).update(created_at=datetime(2026, 2, 15, tzinfo=UTC))
    advised()
    advice = Advice.objects.get()
    accept(world, advice)
    WorkSpace.objects.filter(pk=row.pk).update(state="TERMINATED", terminated_at=NOW + timedelta(hours=1))
    assert follow(actor=JOB, now=NOW + DAY).effective == 1
    assert not AdviceSaving.objects.exists()  # April is owed
    follow(actor=JOB, now=datetime(2026, 8, 1, tzinfo=UTC))
    saving = AdviceSaving.objects.get()
    assert (saving.saved_amount, saving.booked_cost, saving.basis) == (Decimal("4.717742"), 0, "ESTIMATED")
    assert saving.through == datetime(2026, 5, 16, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("facts", "through"),
    [
        ({}, datetime(2026, 8, 1, tzinfo=UTC)),
        ({"keep_alive": True, "keep_alive_until": NOW + 90 * DAY}, hour_of(NOW + 90 * DAY)),
    ],
    ids=["nobody knows until when", "it was kept alive"],
)
def test_a_machine_that_had_outlived_its_lifetime_saves_its_fees_as_long_as_it_would_have_lived(world, facts, through):
    row = stopped(world, max_lifetime_days=20)
    WorkSpace.objects.filter(pk=row.pk).update(created_at=datetime(2026, 2, 15, tzinfo=UTC))
    advised()
    accept(world, Advice.objects.get())
    WorkSpace.objects.filter(pk=row.pk).update(state="TERMINATED", terminated_at=NOW + timedelta(hours=1), **facts)
    follow(actor=JOB, now=datetime(2026, 8, 1, tzinfo=UTC))
    assert AdviceSaving.objects.latest("month").through == through
    assert AdviceSaving.objects.get(month=date(2026, 5, 1)).saved_amount == Decimal("9.75")


@pytest.mark.django_db
def test_a_stop_saves_a_day_at_most_and_a_failed_change_nothing(world):
    row = machine(world, since=NOW - 3 * DAY)
    sampled(row, hours=[], days=3, always=True)
    advised()
    stop = Advice.objects.get()
    accept(world, stop)
    write_history(
        row, [(NOW + timedelta(minutes=1), "STOPPING"), (NOW + timedelta(minutes=30), "STOPPED")], "AVAILABLE"
    )
    follow(actor=JOB, now=NOW + timedelta(hours=5, minutes=30))
    assert AdviceSaving.objects.get().saved_amount == 5 * Decimal("0.30")
    follow(actor=JOB, now=NOW + 9 * DAY)
    assert AdviceSaving.objects.get().saved_amount == 24 * Decimal("0.30")
    failing = shrinking(world, owner=world.lead)
    accept(world, failing, "lead")
    Operation.objects.filter(pk=failing.workspace.advice.get().operation_id).update(
        status="failed", error={"code": "refused"}, finished_at=NOW, next_attempt_at=None
    )
    figures = advised(NOW + DAY)
    assert (figures["failed"], figures["opened"]) == (1, 1)
    assert [one[3] for one in standing(failing.workspace)] == ["OBSOLETE", "OPEN"]


# -- At once ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_runs_and_two_people_at_once_give_one_advice_and_one_operation(world):
    rows = [stopped(world, owner=owner) for owner in (world.engineer, world.lead, world.admin)]
    found = together(lambda _: advised(), range(3))
    assert sum(one["opened"] for one in found) == 3
    assert [len(standing(row)) for row in rows] == [1, 1, 1]
    assert AuditLog.objects.filter(action_type="ADVICE_OPEN").count() == 3
    advice = Advice.objects.get(workspace=rows[0])
    people = [world.engineer, world.lead, world.admin]
    answers = together(lambda one: services.accept(actor=actor(one), advice_id=advice.pk, now=NOW).operation.id, people)
    assert len(set(answers)) == 1
    assert Operation.objects.count() == 1
