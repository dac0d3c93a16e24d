"""What becomes of operations when AWS is not reached, does not answer, or answers too late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from forge.operations import services as operations
from forge.operations.claims import Claim
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests.workspaces.proxy import LossyProxy
from tests.world import actor
from workspaces import services
from workspaces.handlers.common import AskAnew
from workspaces.lifecycle import State
from workspaces.models import WorkSpace


@pytest.fixture
def proxy(simulator, settings):
    with LossyProxy(simulator.url) as running:
        settings.AWS_ENDPOINT_URL = running.url
        yield running


class Clock:
    """Business time and the simulator's, moved together."""

    def __init__(self, simulator) -> None:
        self.now = timezone.now()
        self._simulator = simulator

    def work(self, *, rounds: int = 1, seconds: float = 60) -> None:
        for _ in range(rounds):
            run_due(limit=20, now=self.now)
            self.now += timedelta(seconds=seconds)
            self._simulator.control.advance(seconds * 10)

    def finish(self, operation: Operation) -> Operation:
        """Work until the operation has ended."""
        for _ in range(30):
            self.work()
            if fresh(operation).is_final:
                break
        return fresh(operation)


@pytest.fixture
def clock(simulator):
    return Clock(simulator)


def launch(world, clock):
    return services.launch(actor=actor(world.engineer), spec=world.spec(), now=clock.now).operation


def ask(verb, world, clock):
    service = getattr(services, verb)
    return service(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now).operation


def fresh(operation):
    return Operation.objects.get(pk=operation.pk)


def machine():
    return WorkSpace.objects.get()


@pytest.mark.parametrize("loss", ["request", "answer"])
def test_a_launch_whose_call_is_cut_off_is_unknown_at_first_and_one_machine_in_the_end(
    world, simulator, proxy, clock, loss
):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", loss)
    clock.work()
    assert fresh(operation).status == "unknown"
    assert machine().state == State.PENDING
    assert clock.finish(operation).status == "succeeded"
    assert machine().state == State.AVAILABLE
    assert len(simulator.control.machines()) == 1
    assert proxy.calls["CreateWorkspaces"] == (2 if loss == "request" else 1)


@pytest.mark.parametrize("operation_name", ["DescribeWorkspaces", "DescribeTags", "DescribeWorkspaceDirectories"])
def test_a_look_that_is_cut_off_is_only_tried_again(world, simulator, proxy, clock, operation_name):
    operation = launch(world, clock)
    proxy.lose(operation_name, "answer", "request")
    assert clock.finish(operation).status == "succeeded"
    assert proxy.calls["CreateWorkspaces"] == 1
    assert len(simulator.control.machines()) == 1


def test_the_lease_is_renewed_before_each_call(world, simulator, proxy, clock, monkeypatch):
    renewed = []
    monkeypatch.setattr(Claim, "heartbeat", lambda claim: renewed.append(claim.operation.id))
    assert clock.finish(launch(world, clock)).status == "succeeded"
    assert len(renewed) == proxy.calls.total() > 3


def test_an_unreachable_aws_is_retried_until_it_is_back(world, simulator, settings, clock):
    reachable = settings.AWS_ENDPOINT_URL
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    operation = launch(world, clock)
    clock.work(rounds=3)
    waiting = fresh(operation)
    assert (waiting.status, waiting.error["code"]) == ("queued", "EndpointConnectionError")
    settings.AWS_ENDPOINT_URL = reachable
    assert clock.finish(operation).status == "succeeded"


def test_a_simulated_place_without_a_simulator_calls_nobody(world, settings, clock):
    settings.AWS_ENDPOINT_URL = None
    operation = launch(world, clock)
    clock.work()
    assert fresh(operation).error["code"] == "NoSimulator"


@pytest.mark.parametrize(
    ("verb", "call", "state"),
    [
        ("stop", "StopWorkspaces", State.STOPPED),
        ("start", "StartWorkspaces", State.AVAILABLE),
        ("terminate", "TerminateWorkspaces", State.TERMINATED),
    ],
)
@pytest.mark.parametrize("loss", ["request", "answer"])
def test_a_control_call_that_is_cut_off_is_looked_at_before_it_is_repeated(
    world, simulator, proxy, clock, verb, call, state, loss
):
    clock.finish(launch(world, clock))
    if verb == "start":
        clock.finish(ask("stop", world, clock))
    operation = ask(verb, world, clock)
    proxy.lose(call, loss)
    ended = clock.finish(operation)
    assert ended.status == "succeeded", ended.error
    assert machine().state == state
    assert proxy.calls[call] == (2 if loss == "request" else 1)


def test_a_machine_that_vanishes_during_its_launch_ends_failed(world, simulator, clock):
    operation = launch(world, clock)
    clock.work()
    WorkSpace.objects.update(provider_id="ws-000000000")
    clock.work(rounds=2, seconds=30)
    assert fresh(operation).status == "waiting"
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "machine_vanished")
    assert machine().state == State.FAILED


def test_a_machine_that_vanished_before_a_stop_is_terminated_and_the_stop_has_failed(world, simulator, clock):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(provider_id="ws-000000000")
    assert clock.finish(ask("stop", world, clock)).error["code"] == "machine_vanished"
    assert machine().state == State.TERMINATED


def test_a_machine_made_otherwise_than_asked_is_discarded(world, simulator, clock):
    operation = launch(world, clock)
    clock.work()
    WorkSpace.objects.update(running_mode="ALWAYS_ON")
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "machine_discarded")
    assert "running mode" in ended.error["detail"]
    assert simulator.control.launches()[0]["live"] == 0


def test_a_failed_launch_is_not_tried_again_and_an_unknown_one_is(world, simulator, proxy, clock):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", "answer")
    clock.work()
    operations.retry(operation=fresh(operation), actor=actor(world.engineer), now=clock.now)
    assert clock.finish(operation).status == "succeeded"
    Operation.objects.filter(pk=operation.pk).update(status="failed", error={"code": "x"})
    with pytest.raises(AskAnew):
        operations.retry(operation=fresh(operation), actor=actor(world.engineer), now=clock.now)


def test_the_worker_itself_cancels_a_launch_that_was_called_off_while_it_ran(world, simulator, clock):
    operation = launch(world, clock)
    Operation.objects.filter(pk=operation.pk).update(cancel_requested_at=clock.now, cancel_requested_by=world.lead.pk)
    clock.work()
    assert fresh(operation).status == "cancelled"
    assert machine().state == State.FAILED
    assert simulator.control.machines() == []
