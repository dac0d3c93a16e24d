"""Reboot, rebuild and restore against the simulator: done when seen, never pretended, never done twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditLog
from forge.operations.claims import Claim
from tests.workspaces.support import ask, fresh, launch, machine
from workspaces import aws
from workspaces.handlers.mending import NO_SNAPSHOT, NOT_SEEN
from workspaces.lifecycle import State

CALLS = {"reboot": "RebootWorkspaces", "rebuild": "RebuildWorkspaces", "restore": "RestoreWorkspace"}
PASSING = {"reboot": "REBOOTING", "rebuild": "REBUILDING", "restore": "RESTORING"}


class Killed(BaseException):
    """What a worker that is killed does to the code it runs."""


@pytest.fixture
def running(world, simulator, clock):
    """A machine that AWS has a snapshot of."""
    clock.finish(launch(world, clock))
    clock.now += timedelta(hours=13)
    simulator.control.advance(13 * 3600)
    simulator.control.connect(machine().provider_id)
    simulator.control.advance(120)
    return machine()


def follow(clock, operation, rounds=300):
    """Work in steps so small that no state passes unseen."""
    for _ in range(rounds):
        clock.work(seconds=5)
        if fresh(operation).is_final:
            break
    return fresh(operation)


def outcomes():
    return list(
        AuditLog.objects.filter(action_type__in=[f"WORKSPACE_{verb.upper()}_OUTCOME" for verb in CALLS])
        .order_by("id")
        .values_list("action_type", "result")
    )


@pytest.mark.parametrize("verb", CALLS)
def test_it_is_done_when_the_machine_was_seen_on_its_way_and_is_back(world, simulator, clock, running, proxy, verb):
    operation = ask(verb, world, clock)
    seen = set()
    for _ in range(300):
        clock.work(seconds=5)
        seen.add((machine().state, machine().health))
        if fresh(operation).is_final:
            break
    assert fresh(operation).status == "succeeded", fresh(operation).error
    assert seen == {(State.AVAILABLE, "HEALTHY"), (State.AVAILABLE, PASSING[verb])}
    assert proxy.calls[CALLS[verb]] == 1
    assert outcomes() == [(f"WORKSPACE_{verb.upper()}_OUTCOME", "SUCCESS")]


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("loss", ["request", "answer"])
def test_a_call_that_is_cut_off_is_repeated_only_when_it_did_nothing(
    world, simulator, clock, running, proxy, verb, loss
):
    operation = ask(verb, world, clock)
    proxy.lose(CALLS[verb], loss)
    assert follow(clock, operation).status == "succeeded", fresh(operation).error
    assert proxy.calls[CALLS[verb]] == (2 if loss == "request" else 1)


@pytest.mark.parametrize("verb", CALLS)
def test_what_aws_takes_and_does_not_do_fails(world, simulator, clock, running, verb):
    simulator.control.fault("no_op", operation=CALLS[verb], count=9)
    ended = follow(clock, ask(verb, world, clock))
    assert (ended.status, ended.error["code"]) == ("failed", NOT_SEEN)
    assert machine().state == State.AVAILABLE
    assert outcomes() == [(f"WORKSPACE_{verb.upper()}_OUTCOME", "FAILURE")]


@pytest.mark.parametrize("verb", CALLS)
def test_a_throttled_request_is_asked_again(world, simulator, clock, running, proxy, verb):
    simulator.control.fault("throttling", operation=CALLS[verb], count=4)
    assert follow(clock, ask(verb, world, clock)).status == "succeeded"
    assert proxy.calls[CALLS[verb]] == 5


@pytest.mark.parametrize("verb", ["reboot", "rebuild"])
def test_a_refused_item_of_the_call_fails_or_is_asked_again(world, simulator, clock, running, verb):
    simulator.control.set_state(running.provider_id, "MAINTENANCE")
    ended = follow(clock, ask(verb, world, clock))
    assert (ended.status, ended.error["code"]) == ("failed", "InvalidResourceStateException")


def test_a_restore_without_a_snapshot_asks_for_nothing(world, simulator, clock, proxy):
    clock.finish(launch(world, clock))
    ended = follow(clock, ask("restore", world, clock))
    assert (ended.status, ended.error["code"]) == ("failed", NO_SNAPSHOT)
    assert proxy.calls["RestoreWorkspace"] == 0


def test_a_stopped_machine_runs_after_its_rebuilding(world, simulator, clock, running):
    clock.finish(ask("stop", world, clock))
    operation = ask("rebuild", world, clock)
    assert follow(clock, operation).status == "succeeded"
    assert machine().state == State.AVAILABLE


@pytest.mark.parametrize("verb", CALLS)
def test_killed_between_the_call_and_the_note_of_it_it_is_not_done_twice(
    world, simulator, clock, running, proxy, monkeypatch, verb
):
    operation = ask(verb, world, clock)
    original, calls = getattr(aws.Gateway, verb), []

    def dying(gateway, provider_id):
        original(gateway, provider_id)
        calls.append(provider_id)
        raise Killed

    monkeypatch.setattr(aws.Gateway, verb, dying)
    with pytest.raises(Killed):
        clock.work(seconds=5)
    clock.now += timedelta(seconds=90)
    assert follow(clock, operation).status == "succeeded", fresh(operation).error
    assert proxy.calls[CALLS[verb]] == 1


@pytest.mark.parametrize("verb", ["rebuild", "restore"])
def test_after_a_long_outage_nobody_pretends_and_no_data_is_lost_twice(
    world, simulator, clock, running, proxy, monkeypatch, verb
):
    operation = ask(verb, world, clock)
    original = Claim.step

    def dying(claim, name, *args, **kwargs):
        original(claim, name, *args, **kwargs)
        if name == "taken":
            raise Killed

    monkeypatch.setattr(Claim, "step", dying)
    with pytest.raises(Killed):
        clock.work(seconds=5)
    monkeypatch.setattr(Claim, "step", original)
    clock.now += timedelta(hours=5)
    simulator.control.advance(5 * 3600)
    ended = follow(clock, operation)
    assert (ended.status, ended.error["code"]) == ("failed", NOT_SEEN)
    assert proxy.calls[CALLS[verb]] == 1


def test_a_machine_that_vanishes_meanwhile_ends(world, simulator, clock, running):
    operation = ask("reboot", world, clock)
    simulator.control.vanish(running.provider_id)
    assert follow(clock, operation).error["code"] == "machine_vanished"
    assert machine().state == State.TERMINATED
