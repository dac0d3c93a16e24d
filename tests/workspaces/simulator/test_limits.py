"""The rate limiter and the counts of calls."""

import itertools
import time

import pytest

from tests.workspaces.simulator.cloud import Cloud, refused
from workspaces.simulator.client import ControlError
from workspaces.simulator.errors import AwsError
from workspaces.simulator.faults import Call
from workspaces.simulator.server import Simulator
from workspaces.simulator.traffic import KEPT, PUBLISHED, Rate, Traffic

CALL = Call("workspaces", "DescribeWorkspaces", "123456789012", "us-east-1")


def _taken(traffic: Traffic, count: int, simulated: float = 0.0, call: Call = CALL) -> int:
    taken = 0
    for _ in range(count):
        try:
            traffic.take(call, simulated)
            taken += 1
        except AwsError:
            continue
    return taken


def test_a_bucket_holds_its_burst_and_refills_at_its_rate() -> None:
    now = [100.0]
    traffic = Traffic(real=lambda: now[0])
    traffic.configure(is_limited=True, is_simulated=False, rates={"DescribeWorkspaces": Rate(2, 5)})
    assert _taken(traffic, 10) == 5
    now[0] += 1
    assert _taken(traffic, 10) == 2
    now[0] += 0.25
    assert _taken(traffic, 10) == 0
    now[0] += 0.25
    assert _taken(traffic, 10) == 1
    now[0] += 3600
    assert _taken(traffic, 10) == 5


def test_each_account_region_and_operation_has_a_bucket_of_its_own() -> None:
    traffic = Traffic(real=lambda: 0.0)
    traffic.configure(is_limited=True, is_simulated=False, rates={"*": Rate(1, 1)})
    others = [
        Call("workspaces", "DescribeTags", "123456789012", "us-east-1"),
        Call("workspaces", "DescribeWorkspaces", "210987654321", "us-east-1"),
        Call("workspaces", "DescribeWorkspaces", "123456789012", "eu-west-1"),
    ]
    assert [_taken(traffic, 2, call=call) for call in (CALL, *others)] == [1, 1, 1, 1]


def test_by_the_simulated_clock_a_bucket_refills_when_time_is_advanced(stepped: Simulator) -> None:
    cloud = Cloud(stepped.url)
    stepped.control.limit(enabled=True, clock="simulated", rates={"DescribeWorkspaces": {"per_second": 1, "burst": 2}})
    for _ in range(2):
        cloud.api.describe_workspaces()
    with refused("ThrottlingException"):
        cloud.api.describe_workspaces()
    cloud.api.describe_account()
    stepped.control.advance(1)
    cloud.api.describe_workspaces()
    counted = {one["operation"]: one for one in stepped.control.traffic()}
    assert counted["DescribeWorkspaces"]["calls"] == 4
    assert counted["DescribeWorkspaces"]["throttled"] == 1
    assert counted["DescribeWorkspaces"]["peak_per_second"] == 3
    assert counted["DescribeAccount"]["throttled"] == 0


def test_a_throttled_change_has_no_effect(simulator: Simulator, cloud: Cloud) -> None:
    simulator.control.limit(enabled=True, rates={"CreateWorkspaces": {"per_second": 0.001, "burst": 1}})
    cloud.launch("ann")
    with refused("ThrottlingException"):
        cloud.launch("bob")
    assert len(simulator.control.machines()) == 1
    simulator.control.limit(enabled=False)
    cloud.launch("bob")


def test_the_peak_is_the_most_calls_within_any_second() -> None:
    now = [0.0]
    traffic = Traffic(real=lambda: now[0])
    for instant in (0.0, 0.9, 0.95, 1.5, 1.8, 5.0):
        now[0] = instant
        traffic.take(CALL, 0.0)
    assert [(one["calls"], one["peak_per_second"]) for one in traffic.show()] == [(6, 4)]


def test_calls_are_counted_without_limits_and_forgotten_on_demand(simulator: Simulator, cloud: Cloud) -> None:
    for _ in range(3):
        cloud.api.describe_workspaces()
    assert [(one["operation"], one["calls"], one["throttled"]) for one in simulator.control.traffic()] == [
        ("DescribeWorkspaces", 3, 0)
    ]
    simulator.control.forget_traffic()
    assert simulator.control.traffic() == []


def test_the_calls_of_a_place_are_listed_with_their_times_refused_ones_too(stepped: Simulator) -> None:
    cloud = Cloud(stepped.url)
    stepped.control.limit(enabled=True, clock="simulated", rates={"DescribeAccount": {"per_second": 1, "burst": 1}})
    before = time.monotonic()
    cloud.api.describe_workspaces()
    cloud.api.describe_account()
    with refused("ThrottlingException"):
        cloud.api.describe_account()
    cloud.tagging.get_resources()
    listed = stepped.control.calls(account="123456789012", region="us-east-1")
    assert listed["forgotten"] == 0
    assert [(one["service"], one["operation"]) for one in listed["calls"]] == [
        ("workspaces", "DescribeWorkspaces"),
        ("workspaces", "DescribeAccount"),
        ("workspaces", "DescribeAccount"),
        ("tagging", "GetResources"),
    ]
    times = [before, *(one["at"] for one in listed["calls"]), time.monotonic()]
    assert times == sorted(times)
    nobody = {"calls": [], "forgotten": 0}
    assert stepped.control.calls(account="123456789012", region="eu-west-1") == nobody
    stepped.control.forget_traffic()
    assert stepped.control.calls(account="123456789012", region="us-east-1") == nobody


def test_only_the_latest_calls_of_a_place_are_kept_and_the_others_counted() -> None:
    now = itertools.count()
    traffic = Traffic(real=lambda: float(next(now)))
    traffic.configure(is_limited=False, is_simulated=True, rates={})
    for _ in range(KEPT + 3):
        traffic.take(CALL, 0.0)
    kept = traffic.calls("123456789012", "us-east-1")
    assert (kept["forgotten"], len(kept["calls"])) == (3, KEPT)
    assert [kept["calls"][end]["at"] for end in (0, -1)] == [3, KEPT + 2]


def test_published_rates_hold_where_no_other_is_set() -> None:
    traffic = Traffic()
    assert traffic.rate_of("GetMetricData") == PUBLISHED["GetMetricData"] == Rate(50, 50)
    assert traffic.rate_of("DescribeWorkspaces") == Rate(2, 5)
    traffic.configure(is_limited=True, is_simulated=False, rates={"GetMetricData": Rate(1, 1), "*": Rate(9, 9)})
    assert traffic.rate_of("GetMetricData") == Rate(1, 1)
    assert traffic.rate_of("StopWorkspaces") == Rate(9, 9)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"enabled": 1}, "enabled"),
        ({"enabled": True, "clock": "moon"}, "clock"),
        ({"enabled": True, "rates": []}, "rates"),
        ({"enabled": True, "rates": {"X": {"per_second": 0, "burst": 1}}}, "above 0"),
        ({"enabled": True, "rates": {"X": {"per_second": 1}}}, "needs per_second and burst"),
    ],
)
def test_wrong_limits_are_explained(simulator: Simulator, limits: dict, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        simulator.control._call("POST", "limits", limits)
