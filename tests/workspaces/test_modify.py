"""Modifying a machine: what is refused before AWS is asked, and what becomes of it against the simulator."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Budget, Reservation
from costs.models import Price
from forge.api.errors import NothingToChange
from forge.operations import services as operations
from forge.operations.claims import Claim
from forge.operations.models import Operation
from tests import factories
from tests.budgets.threads import outcome, together
from tests.workspaces.support import WORKSPACES, client_of, fresh, launch, machine, problem
from tests.world import actor
from workspaces import aws, resizing, services
from workspaces.handlers.changing import NO_EFFECT
from workspaces.lifecycle import State
from workspaces.models import ConfigurationChange, WorkSpace
from workspaces.places import known, place_of
from workspaces.resizing import Configuration, Past, check
from workspaces.services.control import OperationInProgress

NOW = timezone.now()
SMALL = Configuration("STANDARD", "AUTO_STOP", 60, 80, 50)
LONG_AGO = Past(launched_at=NOW - timedelta(days=90))


class Killed(BaseException):
    """What a worker that is killed does to the code it runs."""


# -- What AWS would refuse -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ({"bundle_type": "STANDARD"}, NothingToChange),
        ({"bundle_type": "POWER", "running_mode": "ALWAYS_ON"}, resizing.OneChangeAtATime),
        ({"root_volume_gb": 175, "user_volume_gb": 100}, resizing.OneChangeAtATime),
        ({"bundle_type": "GRAPHICS_G4DN"}, resizing.ConversionImpossible),
        ({"user_volume_gb": 10}, resizing.VolumesNotOffered),
        ({"user_volume_gb": 60}, resizing.VolumesNotOffered),
        ({"root_volume_gb": 175}, resizing.VolumesNotOffered),
        ({"running_mode": "ALWAYS_ON", "auto_stop_timeout_minutes": 120}, resizing.AutoStopNotApplicable),
    ],
)
def test_what_aws_does_not_do_is_refused(wanted, refusal):
    with pytest.raises(refusal):
        check(SMALL, SMALL.changed(wanted), past=LONG_AGO, now=NOW)


@pytest.mark.parametrize(
    "wanted",
    [
        {"bundle_type": "POWERPRO"},
        {"user_volume_gb": 100},
        {"running_mode": "ALWAYS_ON"},
        {"auto_stop_timeout_minutes": 120},
    ],
)
def test_what_aws_does_is_not(wanted):
    check(SMALL, SMALL.changed(wanted), past=LONG_AGO, now=NOW)


def test_nothing_becomes_of_graphics_either():
    graphics = Configuration("GRAPHICS_G4DN", "AUTO_STOP", 60, 100, 100)
    with pytest.raises(resizing.ConversionImpossible):
        check(graphics, graphics.changed({"bundle_type": "POWER"}), past=LONG_AGO, now=NOW)


@pytest.mark.parametrize(
    ("before", "after", "rest", "fact"),
    [
        ("STANDARD", "POWER", timedelta(hours=6), "launched_at"),
        ("STANDARD", "POWER", timedelta(hours=6), "compute_changed_at"),
        ("POWER", "STANDARD", timedelta(days=30), "compute_reduced_at"),
    ],
)
def test_compute_types_change_at_aws_intervals(before, after, rest, fact):
    one = SMALL.changed({"bundle_type": before})
    other = one.changed({"bundle_type": after})
    at = NOW - rest
    past = Past(**{"launched_at": NOW - timedelta(days=300), fact: at + timedelta(seconds=1)})
    with pytest.raises(resizing.TooSoon) as refusal:
        check(one, other, past=past, now=NOW)
    assert refusal.value.extra["possible_at"] == NOW + timedelta(seconds=1)
    check(one, other, past=Past(**{"launched_at": NOW - timedelta(days=300), fact: at}), now=NOW)


def test_a_smaller_compute_type_waits_for_neither_the_launch_nor_a_larger_one():
    large = SMALL.changed({"bundle_type": "POWER"})
    check(large, SMALL, past=Past(launched_at=NOW, compute_changed_at=NOW), now=NOW)


def test_volumes_change_once_in_six_hours_but_also_right_after_the_launch():
    after = SMALL.changed({"user_volume_gb": 100})
    check(SMALL, after, past=Past(launched_at=NOW), now=NOW)
    with pytest.raises(resizing.TooSoon):
        check(SMALL, after, past=Past(NOW, volumes_changed_at=NOW - timedelta(hours=5)), now=NOW)


# -- Against the simulator -------------------------------------------------------------------------------------------


@pytest.fixture
def running(world, simulator, clock):
    """A STANDARD AutoStop machine, launched more than six hours ago; what storage costs is known."""
    Price.objects.update(storage_gb_month_amount=Decimal("0.10"))
    clock.finish(launch(world, clock))
    clock.now += timedelta(hours=7)
    simulator.control.advance(7 * 3600)
    simulator.control.connect(machine().provider_id)
    simulator.control.advance(120)
    return machine()


def modify(world, clock, **wanted):
    return services.modify(actor=actor(world.engineer), workspace_id=machine().pk, wanted=wanted, now=clock.now)


def budget_of(world, clock, amount=1000):
    start = clock.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return factories.BudgetFactory(
        organization=world.organization,
        amount=Decimal(amount),
        period_start=start,
        period_end=start + timedelta(days=20),
        adopted_at=start,
    )


def shown(simulator):
    [row] = [row for row in simulator.control.machines() if row["state"] != "GONE"]
    return row


@pytest.mark.parametrize(
    "wanted",
    [
        {"bundle_type": "PERFORMANCE"},
        {"user_volume_gb": 100},
        {"running_mode": "ALWAYS_ON"},
        {"auto_stop_timeout_minutes": 120},
    ],
)
def test_a_change_is_made_seen_and_only_then_written(world, simulator, clock, running, wanted):
    operation = modify(world, clock, **wanted).operation
    assert Configuration.of(machine()) == Configuration.of(running)
    ended = clock.finish(operation)
    assert ended.status == "succeeded", ended.error
    row = machine()
    assert {name: getattr(row, name) for name in wanted} == wanted
    change = ConfigurationChange.objects.get(workspace=row)
    assert change.after.beside(change.before) == wanted
    assert row.state == State.AVAILABLE
    outcomes = AuditLog.objects.filter(action_type="WORKSPACE_MODIFY_OUTCOME")
    assert [entry.result for entry in outcomes] == ["SUCCESS"]


def test_an_always_on_machine_is_made_autostop_and_can_be_stopped_then(world, simulator, clock, running):
    clock.finish(modify(world, clock, running_mode="ALWAYS_ON").operation)
    clock.finish(modify(world, clock, running_mode="AUTO_STOP").operation)
    stopped = services.stop(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now).operation
    assert clock.finish(stopped).status == "succeeded"


def test_the_next_larger_one_waits_six_hours(world, simulator, clock, running):
    clock.finish(modify(world, clock, bundle_type="PERFORMANCE").operation)
    with pytest.raises(resizing.TooSoon):
        modify(world, clock, bundle_type="POWER")


def test_a_smaller_one_is_had_at_once_and_the_next_after_thirty_days(world, simulator, clock, running):
    for size in ("PERFORMANCE", "STANDARD", "PERFORMANCE"):
        assert clock.finish(modify(world, clock, bundle_type=size).operation).status == "succeeded"
        clock.now += resizing.LARGER_EVERY
        simulator.control.advance(resizing.LARGER_EVERY.total_seconds())
    with pytest.raises(resizing.TooSoon):
        modify(world, clock, bundle_type="STANDARD")


def test_the_difference_is_reserved_and_stays_so_when_it_has_succeeded(world, simulator, clock, running):
    budget = budget_of(world, clock)
    answer = modify(world, clock, bundle_type="PERFORMANCE")
    needed = Decimal(answer.figures["reservation"])
    assert needed > 0
    assert Budget.objects.get(pk=budget.pk).reserved == needed == Reservation.objects.get(budget=budget).remaining
    assert clock.finish(answer.operation).status == "succeeded"
    assert Budget.objects.get(pk=budget.pk).reserved >= needed  # metering has filled it up to all that it needs


def test_a_change_that_no_budget_holds_is_refused_and_leaves_nothing(world, simulator, clock, running):
    budget_of(world, clock, amount="0.01")
    entries = AuditLog.objects.count()
    with pytest.raises(Exception, match="budget of") as refusal:
        modify(world, clock, bundle_type="PERFORMANCE")
    assert refusal.value.code == "budget_exceeded"
    assert not Reservation.objects.exists()
    assert AuditLog.objects.count() == entries


def test_a_dry_run_says_the_same_and_writes_nothing(world, simulator, clock, running):
    budget_of(world, clock)
    who = {"actor": actor(world.engineer), "workspace_id": running.pk, "now": clock.now}
    dry = services.modify(**who, wanted={"bundle_type": "PERFORMANCE"}, dry_run=True)
    assert (dry.workspace, dry.operation) == (None, None)
    assert not Reservation.objects.exists()
    assert machine().version == running.version
    wet = services.modify(**who, wanted={"bundle_type": "PERFORMANCE"})
    assert dry.figures == wet.figures


def test_a_silent_no_op_is_found_out_and_the_money_given_back(world, simulator, clock, running):
    budget = budget_of(world, clock)
    simulator.control.fault("no_op", operation="ModifyWorkspaceProperties", count=9)
    ended = clock.finish(modify(world, clock, bundle_type="PERFORMANCE").operation)
    assert (ended.status, ended.error["code"]) == ("failed", NO_EFFECT)
    assert machine().bundle_type == "STANDARD"
    assert not ConfigurationChange.objects.exists()
    assert Budget.objects.get(pk=budget.pk).reserved == 0 == Reservation.objects.get(budget=budget).remaining


def test_one_silent_no_op_is_overcome(world, simulator, clock, running):
    simulator.control.fault("no_op", operation="ModifyWorkspaceProperties", count=1)
    ended = clock.finish(modify(world, clock, running_mode="ALWAYS_ON").operation)
    assert ended.status == "succeeded"


@pytest.mark.parametrize("loss", ["request", "answer"])
def test_a_call_that_is_cut_off_is_looked_at_before_it_is_repeated(world, simulator, clock, running, proxy, loss):
    operation = modify(world, clock, bundle_type="PERFORMANCE").operation
    proxy.lose("ModifyWorkspaceProperties", loss)
    assert clock.finish(operation).status == "succeeded"
    assert proxy.calls["ModifyWorkspaceProperties"] == (2 if loss == "request" else 1)


def test_a_throttled_change_is_asked_for_again(world, simulator, clock, running):
    simulator.control.fault("throttling", operation="ModifyWorkspaceProperties", count=5)
    assert clock.finish(modify(world, clock, bundle_type="PERFORMANCE").operation).status == "succeeded"


def test_a_refusal_of_aws_fails_it_and_gives_the_money_back(world, simulator, clock, running):
    budget = budget_of(world, clock)
    simulator.control.set_state(running.provider_id, "MAINTENANCE")
    ended = clock.finish(modify(world, clock, bundle_type="PERFORMANCE").operation)
    assert (ended.status, ended.error["code"]) == ("failed", "InvalidResourceStateException")
    assert Budget.objects.get(pk=budget.pk).reserved == 0
    assert machine().bundle_type == "STANDARD"


def test_cancelled_before_the_call_it_gives_the_money_back(world, simulator, clock, running):
    budget = budget_of(world, clock)
    operation = modify(world, clock, bundle_type="PERFORMANCE").operation
    operations.cancel(operation=operation, actor=actor(world.engineer), now=clock.now)
    assert fresh(operation).status == "cancelled"
    assert Budget.objects.get(pk=budget.pk).reserved == 0


def test_a_machine_that_vanishes_meanwhile_ends(world, simulator, clock, running):
    operation = modify(world, clock, bundle_type="PERFORMANCE").operation
    simulator.control.vanish(running.provider_id)
    assert clock.finish(operation).error["code"] == "machine_vanished"
    assert machine().state == State.TERMINATED


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("step", ["look", "ask", "taken", "changing"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_it_goes_on_and_changes_once(world, simulator, clock, running, monkeypatch, step, when):
    operation = modify(world, clock, bundle_type="PERFORMANCE").operation
    original, killed = Claim.step, []

    def dying(claim, name, *args, **kwargs):
        if name == step and not killed and when == "before":
            killed.append(name)
            raise Killed
        original(claim, name, *args, **kwargs)
        if name == step and not killed:
            killed.append(name)
            raise Killed

    monkeypatch.setattr(Claim, "step", dying)
    for _ in range(60):
        try:
            clock.work(seconds=10)
        except Killed:
            clock.now += timedelta(minutes=5)
        if fresh(operation).is_final:
            break
    assert killed == [step]
    assert fresh(operation).status == "succeeded", fresh(operation).error
    assert ConfigurationChange.objects.count() == 1
    assert machine().bundle_type == "PERFORMANCE"


def test_killed_between_the_call_and_the_note_of_it_aws_is_not_asked_again(
    world, simulator, clock, running, monkeypatch
):
    operation = modify(world, clock, bundle_type="PERFORMANCE").operation
    original, calls = aws.Gateway.modify, []

    def dying(gateway, *args):
        original(gateway, *args)
        calls.append(args)
        if len(calls) == 1:
            raise Killed

    monkeypatch.setattr(aws.Gateway, "modify", dying)
    with pytest.raises(Killed):
        clock.work()
    clock.now += timedelta(minutes=5)
    assert clock.finish(operation).status == "succeeded"
    assert len(calls) == 1


def test_one_thing_at_a_time_is_done_to_a_machine(world, simulator, clock, running):
    modify(world, clock, bundle_type="PERFORMANCE")
    with pytest.raises(Exception, match="not finished") as refusal:
        modify(world, clock, running_mode="ALWAYS_ON")
    assert refusal.value.code == "operation_in_progress"


def test_a_bundle_that_the_blueprint_does_not_offer_is_refused(world, simulator, clock, running):
    with pytest.raises(Exception, match="does not offer POWER") as refusal:
        modify(world, clock, bundle_type="POWER")
    assert refusal.value.code == "bundle_not_offered"


def test_a_stopped_machine_that_becomes_always_on_runs_afterwards(world, simulator, clock, running):
    clock.finish(services.stop(actor=actor(world.engineer), workspace_id=running.pk, now=clock.now).operation)
    assert clock.finish(modify(world, clock, running_mode="ALWAYS_ON").operation).status == "succeeded"
    assert machine().state in (State.STARTING, State.AVAILABLE)


def test_contractors_do_not_modify(world, simulator, clock, running):
    WorkSpace.objects.update(owner=world.contractor)
    with pytest.raises(Exception, match="may not modify") as refusal:
        services.modify(
            actor=actor(world.contractor), workspace_id=running.pk, wanted={"user_volume_gb": 100}, now=clock.now
        )
    assert refusal.value.code == "may_not_control_machine"


def test_two_at_once_become_one(world, simulator, clock, running):
    """Both look at a machine without an open operation; the lock lets one of them see the other's."""

    def attempt(size):
        services.modify(
            actor=actor(world.engineer), workspace_id=running.pk, wanted={"user_volume_gb": size}, now=clock.now
        )

    done = together(outcome(OperationInProgress, attempt), [100] * 6, at_once=6)
    assert sum(done) == 1
    assert Operation.objects.filter(kind="workspace.modify").count() == 1


def test_by_the_api_a_dry_run_an_etag_and_the_history_of_configurations(world, simulator, clock, running):
    client = client_of(world.engineer)
    address = f"{WORKSPACES}{running.pk}/"
    dry = client.post(f"{address}modify/?dry_run=true", {"running_mode": "ALWAYS_ON"}, format="json")
    assert dry.status_code == 200, dry.content
    assert dry.json()["changes"] == {"before": {"running_mode": "AUTO_STOP"}, "after": {"running_mode": "ALWAYS_ON"}}
    stale = client.post(f"{address}modify/", {"user_volume_gb": 100}, format="json", headers={"If-Match": '"999"'})
    problem(stale, 412, "precondition_failed")
    problem(client.post(f"{address}modify/", {}, format="json"), 400, "invalid")
    problem(client.post(f"{address}modify/", {"bundle_type": "STANDARD"}, format="json"), 400, "nothing_to_change")
    answer = client.post(f"{address}modify/", {"user_volume_gb": 100}, format="json")
    assert answer.status_code == 202, answer.content
    clock.now = timezone.now() + timedelta(seconds=1)
    assert clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"])).status == "succeeded"
    [change] = client.get(f"{address}configurations/").json()
    assert (change["before"], change["after"]) == ({"user_volume_gb": 50}, {"user_volume_gb": 100})


def test_a_machine_that_stops_by_itself_again_does_so_at_its_own_time(world, clock):
    """AWS forgets the time of an AlwaysOn machine, and takes sixty minutes where none is named."""
    spec = world.spec(auto_stop_timeout_minutes=150)
    clock.finish(services.launch(actor=actor(world.engineer), spec=spec, now=clock.now).operation)
    for mode in ("ALWAYS_ON", "AUTO_STOP"):
        assert clock.finish(modify(world, clock, running_mode=mode).operation).status == "succeeded"
    one = machine()
    assert (one.running_mode, one.auto_stop_timeout_minutes) == ("AUTO_STOP", 150)
    assert aws.Gateway(place_of(one.provider_account)).look(known(one)).auto_stop_minutes == 180
