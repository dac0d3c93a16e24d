"""How long an operation rests after a fault of AWS, and what a request that AWS put off counts for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forge.operations.models import Operation
from tests.workspaces.support import ask, fresh, launch, machine
from workspaces import aws
from workspaces.lifecycle import State

THROTTLED = aws.Throttled("ThrottlingException", "slow down")
UNCLEAR = aws.UnknownOutcome("InternalServerException", "who knows")


def raising(fault):
    def call(gateway, *asked, **more):
        raise fault

    return call


def pauses(operation: Operation, clock, count: int) -> list[float]:
    """Seconds from each of so many attempts to the next."""
    found = []
    for _ in range(count):
        at = clock.now
        clock.work(seconds=0)
        due_at = fresh(operation).next_attempt_at
        found.append((due_at - at).total_seconds())
        clock.now = due_at
    return found


@pytest.mark.parametrize(
    ("call", "fault", "longest"),
    [("find", THROTTLED, (1, 2, 4, 8, 16, 16, 16)), ("create", UNCLEAR, (5, 10, 16, 16, 16, 16, 16))],
)
def test_pauses_double_up_to_16_seconds_and_are_spread_over_their_upper_half(
    world, simulator, clock, monkeypatch, call, fault, longest
):
    monkeypatch.setattr(aws.Gateway, call, raising(fault))
    found = pauses(launch(world, clock), clock, len(longest))
    for pause, most in zip(found, longest, strict=True):
        assert most / 2 <= pause <= most
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("verb", "state", "passing"),
    [("stop", State.STOPPED, State.STOPPING), ("terminate", State.TERMINATED, State.TERMINATING)],
)
def test_a_request_that_aws_put_off_for_long_is_not_taken_for_one_without_effect(
    world, simulator, clock, monkeypatch, verb, state, passing
):
    clock.finish(launch(world, clock))
    simulator.control.connect(machine().provider_id)  # or it stops by itself
    operation = ask(verb, world, clock)
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, verb, raising(THROTTLED))
        for _ in range(22):
            clock.work(seconds=30)
    waiting = fresh(operation)
    assert (waiting.status, waiting.error["code"], machine().state) == ("queued", THROTTLED.code, State.AVAILABLE)
    clock.now += timedelta(minutes=5)
    assert clock.finish(operation).status == "succeeded"
    assert machine().state == state
    assert passing in machine().state_changes.values_list("to_state", flat=True)


def follow(operation: Operation, clock, *, until: timedelta) -> Operation:
    """Work whenever the operation is due, until it has ended or so much time has passed."""
    began = clock.now
    while not fresh(operation).is_final and clock.now - began < until:
        clock.now = max(clock.now, fresh(operation).next_attempt_at)
        clock.work(seconds=0)
    return fresh(operation)


FULL = aws.LimitReached("ResourceLimitExceededException", "no more")


def answers(*faults):
    """A `create` that meets these faults in turn, the last of them for ever."""
    left = list(faults)

    def create(gateway, wanted):
        raise left.pop(0) if len(left) > 1 else left[0]

    return create


def test_a_launch_that_is_refused_again_and_again_fails_once_an_unclear_request_would_have_been_seen(
    world, simulator, clock, monkeypatch
):
    monkeypatch.setattr(aws.Gateway, "create", answers(UNCLEAR, FULL))
    began = clock.now
    ended = follow(launch(world, clock), clock, until=timedelta(minutes=10))
    assert (ended.status, ended.error["code"]) == ("failed", FULL.code)
    assert timedelta(minutes=2) <= ended.finished_at - began <= timedelta(minutes=3)
    assert machine().state == State.FAILED


def test_a_launch_that_was_only_put_off_before_it_was_refused_fails_at_once(world, simulator, clock, monkeypatch):
    monkeypatch.setattr(aws.Gateway, "create", answers(THROTTLED, THROTTLED, FULL))
    began = clock.now
    ended = follow(launch(world, clock), clock, until=timedelta(minutes=10))
    assert (ended.status, ended.error["code"]) == ("failed", FULL.code)
    assert ended.finished_at - began < timedelta(seconds=10)
