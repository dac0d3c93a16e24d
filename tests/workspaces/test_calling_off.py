"""Launches that nobody wants any more: called off before the call to AWS, during it and after it."""

from __future__ import annotations

import pytest

from budgets.models import Reservation
from forge.accounts.models import User
from forge.operations import services as operations
from forge.operations.models import Operation
from forge.operations.services import NotYourOperation, OperationNotCancellable
from tests.workspaces.support import WORKSPACES, ask, client_of, fresh, launch, machine
from tests.world import actor
from workspaces import aws, services
from workspaces.handlers.launching import Launch
from workspaces.lifecycle import State
from workspaces.models import WorkSpace


def terminate(world, clock):
    return services.terminate(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now)


def test_to_terminate_a_machine_that_nobody_works_on_yet_cancels_its_launch(world, simulator, clock):
    operation = launch(world, clock)
    engineer = client_of(world.engineer)
    assert "terminate" in engineer.get(f"{WORKSPACES}{machine().pk}/").json()["actions"]
    answer = engineer.post(f"{WORKSPACES}{machine().pk}/terminate/")
    assert (answer.status_code, answer.json()["state"]) == (202, "FAILED")
    assert answer["Location"] == f"/api/v1/operations/{operation.pk}/"
    assert answer.json()["operation"]["status"] == "cancelled"
    # The end shares the launch's correlation id, by which the log vouches for it.
    assert machine().state_changes.get(to_state="FAILED").correlation_id == operation.correlation_id
    clock.work()
    assert simulator.control.machines() == []


@pytest.mark.parametrize("loss", ["request", "answer"])
def test_a_launch_of_unknown_outcome_is_ended_with_whatever_came_of_it(world, simulator, proxy, clock, loss):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", loss)
    clock.work()
    assert fresh(operation).status == "unknown"
    assert terminate(world, clock).operation.pk == operation.pk
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "called_off")
    assert machine().state == State.FAILED
    assert proxy.calls["CreateWorkspaces"] == 1
    assert [row["live"] for row in simulator.control.launches()] == ([0] if loss == "answer" else [])
    assert not Reservation.objects.live().exists()
    assert clock.finish(launch_again(world, clock)).status == "succeeded"


def launch_again(world, clock):
    return services.launch(actor=actor(world.engineer), spec=world.spec(), now=clock.now).operation


def test_a_machine_that_aws_is_still_making_is_ended(world, simulator, clock):
    operation = launch(world, clock)
    clock.work(seconds=1)
    assert machine().provider_id
    terminate(world, clock)
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "called_off")
    assert simulator.control.launches()[0]["live"] == 0


def test_a_launch_that_is_called_off_while_aws_is_asked_loses_no_machine(world, simulator, clock, monkeypatch):
    operation = launch(world, clock)
    real = aws.Gateway.create

    def create(gateway, wanted):
        noted = operations.cancel(operation=operation, actor=actor(world.engineer), now=clock.now)
        assert noted.status == "running"
        return real(gateway, wanted)

    monkeypatch.setattr(aws.Gateway, "create", create)
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "called_off")
    assert machine().state == State.FAILED
    assert simulator.control.launches()[0]["live"] == 0


def test_a_launch_that_is_called_off_as_its_machine_comes_up_does_not_hand_it_out(world, simulator, clock, monkeypatch):
    operation = launch(world, clock)
    clock.work()

    def at_the_last_look(workspace, seen):
        Operation.objects.filter(cancel_requested_at=None).update(cancel_requested_at=clock.now)
        return ""

    monkeypatch.setattr(Launch, "_mismatch", staticmethod(at_the_last_look))
    assert clock.finish(operation).error["code"] == "called_off"
    assert list(machine().state_changes.order_by("id").values_list("to_state", flat=True)) == ["PENDING", "FAILED"]
    assert simulator.control.launches()[0]["live"] == 0


def test_another_try_of_a_launch_that_is_called_off_still_ends_it(world, simulator, proxy, clock):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", "answer")
    clock.work()
    terminate(world, clock)
    Operation.objects.filter(pk=operation.pk).update(status="unknown", next_attempt_at=clock.now)
    operations.retry(operation=fresh(operation), actor=actor(world.engineer), now=clock.now)
    assert clock.finish(operation).error["code"] == "called_off"
    assert simulator.control.launches()[0]["live"] == 0


def test_what_aws_was_asked_to_do_to_a_running_machine_is_not_called_off(world, simulator, clock):
    clock.finish(launch(world, clock))
    operation = ask("stop", world, clock)
    clock.work(seconds=1)
    with pytest.raises(OperationNotCancellable):
        operations.cancel(operation=fresh(operation), actor=actor(world.engineer), now=clock.now)
    assert clock.finish(operation).status == "succeeded"


# -- who may -------------------------------------------------------------------------------------------------------
def test_a_contractor_does_not_call_off_the_end_that_the_lead_asked_for(world, simulator, clock):
    clock.finish(services.launch(actor=actor(world.contractor), spec=world.spec(), now=clock.now).operation)
    end = services.terminate(actor=actor(world.lead), workspace_id=machine().pk, now=clock.now).operation
    with pytest.raises(NotYourOperation):
        operations.cancel(operation=end, actor=actor(world.contractor), now=clock.now)
    assert operations.cancel(operation=end, actor=actor(world.admin), now=clock.now).status == "cancelled"


def test_an_owner_who_may_do_the_same_calls_off_what_others_asked_for(world, simulator, clock):
    clock.finish(launch(world, clock))
    end = services.terminate(actor=actor(world.lead), workspace_id=machine().pk, now=clock.now).operation
    assert operations.cancel(operation=end, actor=actor(world.engineer), now=clock.now).status == "cancelled"


def test_whoever_asked_for_it_calls_it_off_and_a_colleague_does_not(world, simulator, clock):
    operation = services.launch(actor=actor(world.contractor), spec=world.spec(), now=clock.now).operation
    with pytest.raises(NotYourOperation):
        operations.cancel(operation=operation, actor=actor(world.engineer), now=clock.now)
    contractor = actor(User.objects.get(pk=world.contractor.pk))
    assert operations.cancel(operation=operation, actor=contractor, now=clock.now).status == "cancelled"
    assert WorkSpace.objects.get().state == State.FAILED
