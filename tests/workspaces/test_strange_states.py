"""What operations make of a state of AWS that Forge does not know: they look again later, and say why; an end does not
wait for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.workspaces.support import fresh, launch, machine
from tests.workspaces.test_mending import follow
from tests.workspaces.test_stale_pages import changed
from tests.world import actor
from workspaces import aws, services
from workspaces.handlers.common import SELDOM, UNCLEAR_AT_MOST
from workspaces.handlers.power import MOST_ASKS
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.rules import reckoning, sweep
from workspaces.services.control import OperationInProgress

STRANGE = "HIBERNATED"


@pytest.fixture
def while_strange(monkeypatch, simulator, clock, caplog):
    """Works on an operation while AWS shows its machine in a state that nobody knows: it rests, and says why."""

    def work(operation):
        before = machine().state
        with monkeypatch.context() as patch:
            patch.setattr(aws.Gateway, "describe", changed(aws.Gateway.describe, machine().provider_id, STRANGE))
            for _ in range(3):
                clock.work(seconds=1)
                clock.now += SELDOM
        waiting = fresh(operation)
        assert (waiting.status, waiting.error["code"]) == (Operation.Status.UNKNOWN, "provider_state_not_known")
        assert STRANGE in waiting.error["detail"]
        assert waiting.next_attempt_at <= clock.now + SELDOM
        assert machine().state in (before, State.PENDING)
        assert f"machine {operation.target_id}: AWS shows the state 'HIBERNATED'" in caplog.text
        return follow(clock, operation)  # a reboot is over before a longer step looks again

    return work


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("verb", ["stop", "start", "reboot", "rebuild"])
def test_an_operation_goes_on_when_aws_shows_what_is_known(world, simulator, clock, while_strange, verb):
    clock.finish(launch(world, clock))
    if verb == "start":
        asked = services.stop(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now)
        clock.finish(asked.operation)
    service = getattr(services, verb)
    asked = service(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)
    done = while_strange(asked.operation)
    assert done.status == "succeeded", (done.error, done.steps)


def test_a_change_goes_on_when_aws_shows_what_is_known(world, simulator, clock, while_strange):
    clock.finish(launch(world, clock))
    asked = services.modify(
        actor=actor(world.admin), workspace_id=machine().pk, wanted={"auto_stop_timeout_minutes": 120}, now=clock.now
    )
    assert while_strange(asked.operation).status == "succeeded"


def test_a_launch_goes_on_when_aws_shows_what_is_known(world, simulator, clock, while_strange):
    operation = launch(world, clock)
    clock.work(seconds=1)
    assert machine().provider_id
    assert while_strange(operation).status == "succeeded"
    assert machine().state == State.AVAILABLE
    assert len(simulator.control.machines()) == 1


@pytest.fixture
def show_strange(monkeypatch):
    """AWS shows a machine in a state that nobody knows, from now on."""

    def show(provider_id):
        monkeypatch.setattr(aws.Gateway, "describe", changed(aws.Gateway.describe, provider_id, STRANGE))

    return show


def ended(clock, simulator, monkeypatch, work):
    """Work on an end until AWS was asked for it, and then while AWS shows what it does."""
    for _ in range(3):
        work()
    calls = {row["operation"]: row["calls"] for row in simulator.control.traffic()}
    assert calls["TerminateWorkspaces"] >= 1
    monkeypatch.undo()
    for _ in range(10):
        work()
    return machine().state


def test_an_end_is_asked_for_whatever_aws_shows(world, simulator, clock, monkeypatch, show_strange):
    clock.finish(launch(world, clock))
    show_strange(machine().provider_id)
    services.terminate(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)
    assert ended(clock, simulator, monkeypatch, clock.work) == State.TERMINATED


def test_an_end_in_bulk_is_asked_for_whatever_aws_shows(world, simulator, clock, monkeypatch, show_strange):
    clock.finish(launch(world, clock))
    show_strange(machine().provider_id)
    asked = services.bulk(actor=actor(world.admin), verb="terminate", workspace_ids=[machine().pk], now=clock.now)

    def work():
        run_one(asked.operation.pk, now=clock.now)
        clock.now += SELDOM
        simulator.control.advance(SELDOM.total_seconds())

    assert ended(clock, simulator, monkeypatch, work) == State.TERMINATED


def test_an_end_that_a_rule_asked_for_is_asked_for_whatever_aws_shows(
    world, simulator, clock, monkeypatch, show_strange
):
    clock.finish(launch(world, clock))
    past = clock.now - timedelta(days=3)
    WorkSpace.objects.update(max_lifetime_days=1, created_at=past, launched_at=past, end_warned_at=past)
    reckoning.apply([machine()], now=clock.now)
    show_strange(machine().provider_id)
    sweep.enforce(now=clock.now)
    assert Operation.objects.open().get().kind == "workspace.terminate"
    assert ended(clock, simulator, monkeypatch, clock.work) == State.TERMINATED


def test_an_end_that_has_no_effect_is_asked_for_again_and_again(world, simulator, clock, monkeypatch, show_strange):
    clock.finish(launch(world, clock))
    monkeypatch.setattr(aws.Gateway, "terminate", lambda *_: None)
    show_strange(machine().provider_id)
    asked = services.terminate(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)
    for _ in range(MOST_ASKS + 3):
        clock.work(seconds=SELDOM.total_seconds())
    waiting = fresh(asked.operation)
    assert (waiting.status, waiting.error["code"]) == (Operation.Status.UNKNOWN, "no_effect")
    assert waiting.next_attempt_at <= clock.now + SELDOM


@pytest.mark.parametrize("verb", ["stop", "reboot"])
def test_a_day_in_such_a_state_ends_what_waits_and_the_machine_can_be_ended(
    world, simulator, clock, show_strange, verb
):
    clock.finish(launch(world, clock))
    asked = getattr(services, verb)(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now)
    clock.work(seconds=1)
    before = machine().state
    show_strange(machine().provider_id)
    clock.now += UNCLEAR_AT_MOST - SELDOM
    clock.work(seconds=1)
    assert fresh(asked.operation).status == Operation.Status.UNKNOWN
    with pytest.raises(OperationInProgress):
        services.terminate(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)
    clock.now += SELDOM
    clock.work(seconds=1)
    over = fresh(asked.operation)
    assert (over.status, over.error["code"]) == (Operation.Status.FAILED, "provider_state_not_known")
    assert machine().state == before
    services.terminate(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)


def test_a_launch_waits_on_as_there_is_a_machine_of_it(world, simulator, clock, show_strange):
    operation = launch(world, clock)
    clock.work(seconds=1)
    show_strange(machine().provider_id)
    clock.now += 2 * UNCLEAR_AT_MOST
    clock.work(seconds=1)
    assert fresh(operation).status == Operation.Status.UNKNOWN
    services.terminate(actor=actor(world.admin), workspace_id=machine().pk, now=clock.now)
    clock.work(seconds=1)
    assert simulator.control.machines()[0]["state"] == "TERMINATING"


def test_one_that_waited_for_days_before_it_began_has_its_day_too(world, simulator, clock, show_strange):
    clock.finish(launch(world, clock))
    asked = services.stop(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now)
    show_strange(machine().provider_id)
    clock.now += 3 * UNCLEAR_AT_MOST
    began = clock.now
    clock.work(seconds=1)
    assert fresh(asked.operation).status == Operation.Status.UNKNOWN
    clock.now = began + UNCLEAR_AT_MOST - SELDOM
    clock.work(seconds=1)
    assert fresh(asked.operation).status == Operation.Status.UNKNOWN
    clock.now = began + UNCLEAR_AT_MOST
    clock.work(seconds=1)
    assert fresh(asked.operation).error["code"] == "provider_state_not_known"
    assert fresh(asked.operation).status == Operation.Status.FAILED
