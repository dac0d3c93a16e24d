"""Looks that are put off are asked again within one run, and not for ever."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.workspaces.rules.support import machine as running
from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.support import launch
from workspaces import aws
from workspaces.aws import pace
from workspaces.aws.patience import EARNED_SECONDS, LONGEST, MOST_SECONDS, Patience
from workspaces.models import UnmanagedMachine, UsageSample
from workspaces.places import place_of
from workspaces.posture.sweep import check
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed
from workspaces.rules import usage
from workspaces.rules.usage import UsageNotCollected

SLOW = aws.Throttled("ThrottlingException", "slow")


def answering(*faults):
    """A call with these faults before its answer."""
    left = list(faults)

    def call():
        if left:
            raise left.pop(0)
        return "answer"

    return call


def test_the_pauses_double_from_one_second_to_sixteen_each_spread_over_its_upper_half(rests):
    patience = Patience()
    patience.left = 1000.0
    assert patience.of(answering(*[SLOW] * 7)) == "answer"
    fulls = [1, 2, 4, 8, 16, 16, 16]
    assert all(full / 2 <= rest <= full for rest, full in zip(rests, fulls, strict=True)), rests


def test_all_pauses_of_a_run_come_to_a_minute_when_nothing_is_answered(rests):
    patience = Patience()
    for _ in range(3):
        with pytest.raises(aws.Throttled):
            patience.of(answering(*[SLOW] * 99))
    assert MOST_SECONDS - LONGEST.total_seconds() < sum(rests) <= MOST_SECONDS


def test_each_answer_earns_some_of_the_time_back(rests):
    patience = Patience()
    for _ in range(2000):
        patience.of(answering(*[SLOW] * (_ % 10 == 0)))
    assert sum(rests) > 2 * MOST_SECONDS / 2
    assert patience.left <= MOST_SECONDS
    patience.left = 0.0
    patience.of(answering())
    assert patience.left == EARNED_SECONDS


@pytest.mark.parametrize("fault", [aws.Unavailable("CircuitOpen", "rests"), aws.Invalid("AccessDenied", "no")])
def test_only_what_is_put_off_is_asked_again(rests, fault):
    with pytest.raises(type(fault)):
        Patience().of(answering(fault))
    assert rests == []


# -- the jobs --------------------------------------------------------------------------------------------------------
@pytest.fixture
def fleet(world, simulator):
    """A hundred machines in AWS, four pages of them."""
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    for start in range(0, 100, aws.BATCH):
        cloud.create(*(cloud.request(f"p{number}") for number in range(start, start + aws.BATCH)))
    simulator.control.advance(3 * 3600)


def test_a_throttled_page_is_asked_for_again_and_the_look_comes_to_its_end(fleet, simulator, rests):
    simulator.control.fault("throttling", operation="DescribeWorkspaces", count=3)
    assert reconcile(now=timezone.now())["unmanaged"] == UnmanagedMachine.objects.count() == 100
    assert len(rests) == 3


def test_a_look_that_is_always_put_off_ends_and_says_so(fleet, simulator, rests):
    simulator.control.fault("throttling", operation="DescribeWorkspaces", rate=1.0)
    with pytest.raises(ReconcileFailed, match="Throttling"):
        reconcile(now=timezone.now())
    assert 0 < sum(rests) <= MOST_SECONDS


def test_our_own_rate_limit_is_waited_for_too(fleet, simulator, rests, monkeypatch):
    refused = []
    real = pace.wait_for_turn

    def busy(place, service=""):
        if len(refused) < 2:
            refused.append(place)
            raise aws.Throttled("OwnRateLimit", "used up")
        real(place, service)

    monkeypatch.setattr(pace, "wait_for_turn", busy)
    assert reconcile(now=timezone.now())["unmanaged"] == 100
    assert len(rests) == 2


def test_a_change_that_reconcile_asks_for_is_asked_again_too(world, simulator, clock, rests):
    clock.finish(launch(world, clock))
    simulator.control.fault("throttling", operation="ModifyWorkspaceProperties", count=1)
    gateway = aws.Gateway(place_of(world.account), patience=Patience())
    (shown,) = next(gateway.listed(world.account.directory_id))
    gateway.modify(shown.provider_id, {"auto_stop_timeout_minutes": 180})
    assert gateway.describe([shown.provider_id])[shown.provider_id].auto_stop_minutes == 180
    assert len(rests) == 1


@pytest.mark.parametrize("operation", ["DescribeWorkspacesConnectionStatus", "GetMetricData"])
def test_samples_are_taken_although_aws_puts_the_first_question_off(world, simulator, clock, rests, operation):
    clock.finish(launch(world, clock))
    simulator.control.fault("throttling", operation=operation, count=2)
    usage.collect(now=clock.now)
    assert UsageSample.objects.exists()
    assert len(rests) == 2


def test_samples_that_are_always_put_off_are_a_fault_of_the_run(world, simulator, rests):
    running(world)
    simulator.control.fault("throttling", operation="DescribeWorkspacesConnectionStatus", rate=1.0)
    with pytest.raises(UsageNotCollected, match="Throttling"):
        usage.collect(now=timezone.now())
    assert sum(rests) <= MOST_SECONDS


def test_the_posture_is_checked_although_aws_puts_the_first_question_off(world, simulator, rests):
    simulator.control.fault("throttling", operation="DescribeWorkspaceDirectories", count=1)
    assert check(now=timezone.now())["directories"] == 1
    assert len(rests) == 1
