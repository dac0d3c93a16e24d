"""What becomes of operations when AWS is not reached, does not answer, or answers too late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from forge.operations import services as operations
from forge.operations.claims import Claim
from forge.operations.models import Operation
from tests.workspaces.support import ask, fresh, launch, machine
from tests.world import actor
from workspaces import aws
from workspaces.handlers.common import AskAnew
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile


class Killed(BaseException):
    """What a worker that is killed does to the code it runs."""


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


@pytest.mark.catalogue(3)
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


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"running_mode": "ALWAYS_ON"}, "running mode"), ({"bundle_type": "PERFORMANCE"}, "compute type")],
)
def test_a_machine_made_otherwise_than_asked_is_discarded(world, simulator, clock, asked, words):
    operation = launch(world, clock)
    clock.work()
    WorkSpace.objects.update(**asked)
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "machine_discarded")
    assert words in ended.error["detail"]
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


# -- what comes late -----------------------------------------------------------------------------------------------
def test_a_running_machine_is_available_and_billed_before_its_address_is_known(world, simulator, clock, monkeypatch):
    operation = launch(world, clock)
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "registration_code", denied)
        assert clock.finish(operation).status == "succeeded"
    assert (machine().state, machine().connection_url) == (State.AVAILABLE, None)
    reconcile(now=clock.now)
    assert machine().connection_url.startswith("https://")


def test_an_address_that_aws_never_tells_of_is_no_fault_of_the_account(world, simulator, clock, monkeypatch):
    monkeypatch.setattr(aws.Gateway, "registration_code", denied)
    clock.finish(launch(world, clock))
    assert reconcile(now=clock.now)["unreachable"] == 0


def denied(gateway, *asked):
    raise aws.Invalid("AccessDeniedException", "no")


def test_a_worker_that_dies_before_the_address_is_known_leaves_the_rest_to_the_next(
    world, simulator, clock, monkeypatch
):
    operation = launch(world, clock)
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "registration_code", killed)
        with pytest.raises(Killed):
            clock.finish(operation)
    assert machine().state == State.AVAILABLE
    clock.now += timedelta(hours=1)
    assert clock.finish(operation).status == "succeeded"
    assert machine().connection_url.startswith("https://")
    assert machine().state_changes.count() == 2


def killed(gateway, *asked):
    raise Killed


def test_the_machine_that_aws_has_just_answered_is_ours_whatever_its_tags_say(world, simulator, clock, monkeypatch):
    monkeypatch.setattr(aws.Gateway, "tags", lambda self, provider_id: {})
    assert clock.finish(launch(world, clock)).status == "succeeded"


def test_a_found_machine_whose_tags_do_not_show_yet_is_looked_at_again(world, simulator, proxy, clock, monkeypatch):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", "answer")
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "tags", lambda self, provider_id: {})
        clock.work(rounds=3)
    assert (fresh(operation).status, fresh(operation).error["code"]) == ("unknown", "TagsNotShown")
    assert clock.finish(operation).status == "succeeded"
    assert proxy.calls["CreateWorkspaces"] == 1


def test_a_machine_without_tags_that_was_there_before_is_not_ours(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(directory_user="somebody-before", provider_id="")
    monkeypatch.setattr(aws.Gateway, "tags", lambda self, provider_id: {})
    operation = launch(world, clock)
    assert clock.finish(operation).error["code"] == "directory_user_taken"


@pytest.mark.parametrize(("seconds", "status"), [(30, "unknown"), (300, "failed")])
def test_a_refusal_soon_after_an_earlier_request_proves_nothing(world, simulator, clock, monkeypatch, seconds, status):
    operation = launch(world, clock)
    faults = iter([aws.UnknownOutcome("InternalServerError", "x"), aws.LimitReached("ResourceLimitExceeded", "x")])

    def create(gateway, wanted):
        raise next(faults)

    monkeypatch.setattr(aws.Gateway, "create", create)
    clock.work(seconds=seconds)
    clock.work(seconds=1)
    assert fresh(operation).status == status


def test_what_was_refused_is_not_asked_for_again_before_an_unclear_request_must_show(
    world, simulator, clock, monkeypatch
):
    operation = launch(world, clock)
    unclear, refused = aws.UnknownOutcome("InternalServerError", "x"), aws.LimitReached("ResourceLimitExceeded", "x")
    faults, asked = iter([unclear, refused]), []

    def create(gateway, wanted):
        asked.append(clock.now)
        raise next(faults, refused)

    monkeypatch.setattr(aws.Gateway, "create", create)
    clock.work(rounds=40, seconds=5)
    assert fresh(operation).status == "failed"
    first, _, third = asked
    assert third - first >= timedelta(minutes=2)
    assert fresh(operation).error["code"] == "ResourceLimitExceeded"


@pytest.mark.parametrize("fault", [aws.Throttled, aws.Unavailable])
def test_what_did_not_happen_is_asked_for_again(world, simulator, clock, monkeypatch, fault):
    clock.finish(launch(world, clock))
    operation = ask("stop", world, clock)
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "stop", lambda self, provider_id: raise_(fault("ThrottlingException", "slow")))
        clock.work()
    waiting = fresh(operation)
    assert (waiting.status, waiting.failures, waiting.error["code"]) == ("queued", 1, "ThrottlingException")
    assert clock.finish(operation).status == "succeeded"


def raise_(fault):
    raise fault


# -- a deaf AWS ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("verb", "state"), [("start", State.STOPPED), ("stop", State.AVAILABLE)])
def test_a_request_that_never_has_an_effect_fails_and_the_machine_is_what_aws_shows(
    world, simulator, clock, monkeypatch, verb, state
):
    clock.finish(launch(world, clock))
    if verb == "start":
        clock.finish(ask("stop", world, clock))
    else:
        simulator.control.connect(machine().provider_id)  # or it stops by itself
    operation = ask(verb, world, clock)
    monkeypatch.setattr(aws.Gateway, verb, lambda self, provider_id: None)
    ended = clock.finish(operation)
    assert (ended.status, ended.error["code"]) == ("failed", "no_effect")
    assert machine().state == state


def test_a_request_is_made_a_few_times_however_late_it_is_and_not_for_ever_before_its_deadline(
    world, simulator, clock, monkeypatch
):
    clock.finish(launch(world, clock))
    simulator.control.connect(machine().provider_id)  # or it stops by itself
    operation = ask("stop", world, clock)
    asks = []
    monkeypatch.setattr(aws.Gateway, "stop", lambda self, provider_id: asks.append(clock.now))
    clock.now += timedelta(hours=1)
    clock.work(rounds=3, seconds=15)
    assert (fresh(operation).status, len(asks)) == ("waiting", 3)
    Operation.objects.update(deadline_at=clock.now + timedelta(days=1))
    clock.work(rounds=30, seconds=15)
    assert (fresh(operation).status, len(asks)) == ("failed", 20)


def test_an_end_without_effect_is_asked_for_again_seldom_and_for_ever(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    operation = ask("terminate", world, clock)
    asks = []
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "terminate", lambda self, provider_id: asks.append(clock.now))
        clock.work(rounds=12)
        assert (fresh(operation).status, fresh(operation).error["code"]) == ("unknown", "no_effect")
        before = len(asks)
        clock.work(rounds=5)
        assert len(asks) - before == 1
    assert clock.finish(operation).status == "succeeded"
    assert machine().state == State.TERMINATED


def test_a_start_that_is_refused_for_a_machine_in_error_is_not_billed_on(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    clock.finish(ask("stop", world, clock))
    operation = ask("start", world, clock)
    clock.work(seconds=0)
    assert machine().state == State.STARTING
    real = aws.Gateway.describe
    monkeypatch.setattr(
        aws.Gateway, "describe", lambda self, ids: {k: replace(v, state="ERROR") for k, v in real(self, ids).items()}
    )
    monkeypatch.setattr(aws.Gateway, "start", denied)
    assert clock.finish(operation).error["code"] == "AccessDeniedException"
    assert machine().state == State.STOPPED


def test_a_machine_that_aws_does_not_know_any_more_is_terminated(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    operation = ask("terminate", world, clock)
    monkeypatch.setattr(
        aws.Gateway, "terminate", lambda self, provider_id: raise_(aws.NotFound("ResourceNotFoundException", "gone"))
    )
    assert clock.finish(operation).status == "succeeded"
    assert machine().state == State.TERMINATED
