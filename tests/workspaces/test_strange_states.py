"""What operations make of a state of AWS that Forge does not know: they ask again later, and say why."""

from __future__ import annotations

import pytest

from forge.operations.models import Operation
from tests.workspaces.support import fresh, launch, machine
from tests.workspaces.test_mending import follow
from tests.workspaces.test_stale_pages import changed
from tests.world import actor
from workspaces import aws, services
from workspaces.handlers.common import SELDOM
from workspaces.lifecycle import State

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
@pytest.mark.parametrize("verb", ["stop", "start", "terminate", "reboot", "rebuild"])
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
