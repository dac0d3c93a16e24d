"""Calls to AWS are counted by service, operation and what became of them; so are those that were never made."""

from __future__ import annotations

import pytest

from forge.metrics.aws import outcome_of
from tests.forge.metrics.support import Grown
from workspaces import aws
from workspaces.aws import pace
from workspaces.aws.clients import client_of
from workspaces.simulator.server import Simulator

PLACE = aws.Place(region="us-east-1", account="111122223333", is_simulated=True, role_arn="")


def calls(outcome: str) -> Grown:
    return Grown("forge_aws_calls_total", service="workspaces", operation="DescribeWorkspaces", outcome=outcome)


def test_calls_are_counted_by_what_became_of_them(simulator: Simulator) -> None:
    ok, throttled, unreached = calls("ok"), calls("throttled"), calls("unreached")
    timed = Grown("forge_aws_call_duration_seconds_count", service="workspaces", operation="DescribeWorkspaces")
    gateway = aws.Gateway(PLACE)
    gateway.describe(["ws-000000001"])
    simulator.control.fault("throttling", operation="DescribeWorkspaces", count=2)
    for _ in range(2):
        with pytest.raises(aws.Throttled):
            gateway.describe(["ws-000000001"])
    simulator.control.fault("timeout_before", operation="DescribeWorkspaces", count=1)
    with pytest.raises(aws.Unavailable):
        gateway.describe(["ws-000000001"])
    assert (ok(), throttled(), unreached(), timed()) == (1, 2, 1, 4)


def test_calls_of_a_role_are_counted_with_the_call_that_takes_it_on(simulator: Simulator, settings) -> None:
    place = aws.Place(
        region="us-east-1", account="111122223333", is_simulated=False, role_arn="arn:aws:iam::111122223333:role/forge"
    )
    taken_on = Grown("forge_aws_calls_total", service="sts", operation="AssumeRole", outcome="ok")
    called = Grown("forge_aws_calls_total", service="workspaces", operation="DescribeWorkspaces", outcome="ok")
    client_of(place, settings.AWS_ENDPOINT_URL).describe_workspaces(WorkspaceIds=["ws-000000001"])
    assert (taken_on(), called()) == (1, 1)


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, "", "ok"),
        (400, "ThrottlingException", "throttled"),
        (503, "SlowDown", "throttled"),
        (429, "", "throttled"),
        (403, "AccessDeniedException", "refused"),
        (500, "InternalFailure", "failed"),
    ],
)
def test_an_answer_has_one_outcome(status: int, code: str, outcome: str) -> None:
    assert outcome_of(status, code) == outcome


@pytest.mark.django_db
def test_what_our_own_limit_puts_off_is_counted(settings) -> None:
    settings.FORGE_AWS_CALLS_PER_SECOND, settings.FORGE_AWS_CALL_BURST = 0.001, 1
    put_off = Grown("forge_aws_turns_refused_total")
    pace.wait_for_turn(PLACE)
    with pytest.raises(aws.Throttled):
        pace.wait_for_turn(PLACE)
    assert put_off() == 1


def test_a_circuit_that_opens_is_counted() -> None:
    opened = Grown("forge_aws_circuits_opened_total")
    place = aws.Place(region="us-west-2", account="444455556666", is_simulated=True, role_arn="")
    for _ in range(pace.FAILURES + 2):
        with pytest.raises(aws.Unavailable), pace.guarded(place, "counted"):
            raise aws.Unavailable("EndpointConnectionError", "nobody there")
    assert opened() == 1
