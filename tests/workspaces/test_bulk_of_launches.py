"""The end of many machines some of which are still being launched: that calls their launches off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forge.operations.claims import Claim
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.workspaces.support import fresh
from tests.workspaces.test_bulk import Killed, ask, running, states
from tests.world import actor, engineers
from workspaces import services
from workspaces.lifecycle import State
from workspaces.models import WorkSpace


def launched(world, clock, count):
    for person in engineers(world, count):
        services.launch(actor=actor(person), spec=world.spec(), now=clock.now)
    return list(WorkSpace.objects.filter(state=State.PENDING))


def ended(clock, operation):
    for _ in range(10):
        clock.work(seconds=30)
    return fresh(operation)


def test_launches_that_are_called_off_count_as_ended(world, simulator, clock):
    operation = ask(world, clock, "terminate", launched(world, clock, 3)).operation
    run_one(operation.pk, now=clock.now)
    operation = ended(clock, operation)
    assert (operation.status, operation.error) == ("succeeded", {})
    assert operation.result["counts"] == {"succeeded": 3}
    assert states() == {State.FAILED: 3}
    launches = Operation.objects.filter(kind="workspace.launch")
    assert {item["operation"] for item in operation.result["items"]} == {str(one.pk) for one in launches}
    assert {one.status for one in launches} == {"cancelled"}


def test_launches_that_aws_had_begun_count_as_ended_once_their_machines_are_gone(world, simulator, clock):
    machines = launched(world, clock, 2)
    for launch in Operation.objects.filter(kind="workspace.launch"):
        run_one(launch.pk, now=clock.now)
    assert not Operation.objects.filter(kind="workspace.launch", cancellable=True).exists()
    operation = ended(clock, ask(world, clock, "terminate", machines).operation)
    assert (operation.status, operation.result["counts"]) == ("succeeded", {"succeeded": 2})
    assert states() == {State.FAILED: 2}


def test_beside_machines_that_run_each_has_its_own_outcome(world, simulator, clock):
    machines = [*running(world, clock, 2), *launched(world, clock, 2)]
    operation = ended(clock, ask(world, clock, "terminate", machines).operation)
    assert (operation.status, operation.result["counts"]) == ("succeeded", {"succeeded": 4})
    assert states() == {State.TERMINATED: 2, State.FAILED: 2}


def test_a_worker_killed_before_it_noted_the_calling_off_leaves_no_refusal(world, simulator, clock, monkeypatch):
    operation = ask(world, clock, "terminate", launched(world, clock, 2)).operation
    step = Claim.step

    def killed(self, name, *args, **kwargs):
        if name == "admit":
            raise Killed
        return step(self, name, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Claim, "step", killed)
        with pytest.raises(Killed):
            run_one(operation.pk, now=clock.now)
    assert states() == {State.FAILED: 2}
    clock.now += timedelta(minutes=2)
    operation = ended(clock, operation)
    assert (operation.status, operation.result["counts"]) == ("succeeded", {"succeeded": 2})


def test_a_machine_whose_launch_had_failed_before_is_refused_still(world, simulator, clock):
    (machine, other) = launched(world, clock, 2)
    operation = ask(world, clock, "terminate", [machine, other]).operation
    earlier = operation.created_at - timedelta(minutes=1)
    services.terminate(actor=actor(machine.owner), workspace_id=machine.pk, now=earlier)
    operation = ended(clock, operation)
    assert operation.result["counts"] == {"succeeded": 1, "refused": 1}
