"""GetMetricData over the usage patterns."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.simulator.test_usage import HOUR, MONDAY, OFFICE
from workspaces.simulator.history import KEPT_SECONDS, History
from workspaces.simulator.server import Simulator

METRICS = ("UserConnected", "CPUUsage", "MemoryUsage", "InSessionLatency")


def _query(workspace_id: str, name: str = "UserConnected", number: int = 0, **more: Any) -> dict[str, Any]:
    dimensions = [{"Name": "WorkspaceId", "Value": workspace_id}]
    metric = {"Namespace": "AWS/WorkSpaces", "MetricName": name, "Dimensions": dimensions}
    return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Average"} | more}


def _values(
    cloud: Cloud, *queries: dict[str, Any], begins: float, ends: float, **more: Any
) -> dict[str, dict[float, float]]:
    """Per query, the values by hours since MONDAY."""
    answer = cloud.metrics.get_metric_data(MetricDataQueries=list(queries), StartTime=begins, EndTime=ends, **more)
    return {
        one["Id"]: {
            (when.timestamp() - MONDAY) / HOUR: value
            for when, value in zip(one["Timestamps"], one["Values"], strict=True)
        }
        for one in answer["MetricDataResults"]
    }


@pytest.fixture(scope="module")
def office() -> Any:
    """A machine whose user worked on Monday from 9 to 17 in Berlin, seen at midnight."""
    with Simulator(speed=0, start=MONDAY) as simulator:
        cloud = Cloud(simulator.url)
        job = {"days": ["tue"], "begins": "10:00", "ends": "11:00"}
        simulator.control.declare_usage(OFFICE | {"jobs": [job]})
        workspace_id = cloud.launch("ann")
        simulator.control.advance(48 * HOUR)
        yield simulator, cloud, workspace_id


def test_the_user_is_connected_when_the_pattern_says_so_and_a_stopped_machine_sends_nothing(office: Any) -> None:
    _, cloud, workspace_id = office
    values = _values(cloud, _query(workspace_id), begins=MONDAY, ends=MONDAY + 24 * HOUR)["q0"]
    assert {hour for hour in values if 1.2 < hour < 9 or hour > 18.2} == set()
    assert {value for hour, value in values.items() if 9.1 < hour < 16.95} == {1.0}
    assert {value for hour, value in values.items() if 17.05 < hour < 17.9} == {0.0}
    assert len([hour for hour in values if 10 <= hour < 11]) == 12


def test_cpu_memory_and_latency_follow_the_session(office: Any) -> None:
    _, cloud, workspace_id = office
    queries = [_query(workspace_id, name, number) for number, name in enumerate(METRICS)]
    values = _values(cloud, *queries, begins=MONDAY, ends=MONDAY + 24 * HOUR)
    working, idle = ([hour for hour in values["q1"] if low < hour < high] for low, high in ((9.2, 16.9), (17.1, 17.9)))
    assert min(values["q1"][hour] for hour in working) > max(values["q1"][hour] for hour in idle)
    assert all(0 <= values["q2"][hour] <= 100 for hour in values["q2"])
    assert set(values["q3"]) == {hour for hour, value in values["q0"].items() if value == 1}


def test_a_job_keeps_the_cpu_busy(office: Any) -> None:
    _, cloud, workspace_id = office
    values = _values(cloud, _query(workspace_id, "CPUUsage"), begins=MONDAY + 33 * HOUR, ends=MONDAY + 40 * HOUR)["q0"]
    busy = {hour for hour, value in values.items() if value >= 70}
    assert busy == {hour for hour in values if 34 <= hour < 35}


def test_connection_status_and_metric_agree(office: Any) -> None:
    simulator, cloud, workspace_id = office
    status = cloud.connection(workspace_id)
    values = _values(cloud, _query(workspace_id), begins=MONDAY, ends=simulator.control.health()["now"])["q0"]
    last = max(hour for hour, value in values.items() if value == 1)
    assert (
        status["LastKnownUserConnectionTimestamp"].timestamp() == MONDAY + (last + 1 / 12) * HOUR == MONDAY + 41 * HOUR
    )


def test_periods_gather_samples_by_their_statistic(office: Any) -> None:
    _, cloud, workspace_id = office
    stats = ("Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50")
    queries = [_query(workspace_id, "CPUUsage", number, Period=3600, Stat=stat) for number, stat in enumerate(stats)]
    window = {"begins": MONDAY + 10 * HOUR, "ends": MONDAY + 11 * HOUR}
    hourly = {stat: one[10.0] for stat, one in zip(stats, _values(cloud, *queries, **window).values(), strict=True)}
    fine = list(_values(cloud, _query(workspace_id, "CPUUsage"), **window)["q0"].values())
    assert hourly["SampleCount"] == len(fine) == 12
    assert hourly["Sum"] == pytest.approx(sum(fine))
    assert hourly["Average"] == pytest.approx(sum(fine) / 12, abs=1e-3)
    assert (hourly["Minimum"], hourly["Maximum"]) == (min(fine), max(fine))
    assert min(fine) < hourly["p50"] < max(fine)


def test_the_same_seed_person_and_time_give_the_same_values_on_another_machine(office: Any) -> None:
    _, cloud, workspace_id = office
    window = {"begins": MONDAY + 9 * HOUR, "ends": MONDAY + 17 * HOUR}
    with Simulator(speed=0, start=MONDAY) as other:
        again = Cloud(other.url)
        other.control.declare_usage(OFFICE)
        other_id = again.launch("ANN")
        other.control.advance(48 * HOUR)
        assert other_id != workspace_id
        for name in METRICS:
            first, second = (
                _values(one, _query(made, name), **window) for one, made in ((cloud, workspace_id), (again, other_id))
            )
            assert first == second


def test_points_come_newest_first_unless_asked_otherwise(office: Any) -> None:
    _, cloud, workspace_id = office
    window = {"begins": MONDAY + 9 * HOUR, "ends": MONDAY + 12 * HOUR}
    down = list(_values(cloud, _query(workspace_id), **window)["q0"])
    up = list(_values(cloud, _query(workspace_id), **window, ScanBy="TimestampAscending")["q0"])
    assert down == sorted(down, reverse=True)
    assert up == down[::-1]


def test_pages_lead_to_all_points_of_all_queries(office: Any) -> None:
    _, cloud, workspace_id = office
    queries = [_query(workspace_id, name, number) for number, name in enumerate(METRICS)]
    asked = {"MetricDataQueries": queries, "StartTime": MONDAY, "EndTime": MONDAY + 24 * HOUR}
    whole = cloud.metrics.get_metric_data(**asked)["MetricDataResults"]
    gathered: dict[str, list[float]] = {one["Id"]: [] for one in whole}
    codes = []
    for page in cloud.metrics.get_paginator("get_metric_data").paginate(**asked, MaxDatapoints=50):
        codes.append({one["StatusCode"] for one in page["MetricDataResults"]})
        assert sum(len(one["Values"]) for one in page["MetricDataResults"]) <= 50
        for one in page["MetricDataResults"]:
            gathered[one["Id"]] += one["Values"]
    assert gathered == {one["Id"]: one["Values"] for one in whole}
    assert len(codes) > 5
    assert codes[0] == {"PartialData"}
    assert codes[-1] == {"Complete"}


def test_what_nobody_sends_is_empty_and_complete(office: Any) -> None:
    _, cloud, workspace_id = office
    unknown = _query("ws-000000000", number=1)
    other = _query(workspace_id, "Charm", number=2)
    unit = _query(workspace_id, number=3, Unit="Bytes")
    answer = cloud.metrics.get_metric_data(
        MetricDataQueries=[unknown, other, unit], StartTime=MONDAY, EndTime=MONDAY + HOUR
    )
    shown = [(one["Values"], one["StatusCode"]) for one in answer["MetricDataResults"]]
    assert shown == [([], "Complete")] * 3


def test_the_future_holds_no_points(office: Any) -> None:
    simulator, cloud, workspace_id = office
    now = simulator.control.health()["now"]
    assert _values(cloud, _query(workspace_id), begins=now + HOUR, ends=now + 2 * HOUR)["q0"] == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"MetricDataQueries": [_query("ws-012345678", number=n) for n in range(501)]}, "ValidationError"),
        ({"MetricDataQueries": [_query("ws-012345678"), _query("ws-012345678")]}, "ValidationError"),
        ({"MetricDataQueries": [{"Id": "q", "Expression": "m1 / 2"}]}, "ValidationError"),
        ({"MetricDataQueries": [_query("ws-012345678", Period=90)]}, "ValidationError"),
        ({"MetricDataQueries": [_query("ws-012345678", Stat="Mood")]}, "ValidationError"),
        ({"MetricDataQueries": [_query("ws-012345678") | {"Id": "Capital"}]}, "ValidationError"),
        ({"MetricDataQueries": []}, "MissingParameter"),
        ({"EndTime": MONDAY}, "ValidationError"),
        ({"MaxDatapoints": 100_801}, "InvalidParameterValue"),
        ({"NextToken": "x"}, "InvalidNextToken"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_as_the_query_protocol_did(
    office: Any, change: dict[str, Any], code: str
) -> None:
    _, cloud, _ = office
    asked = {"MetricDataQueries": [_query("ws-012345678")], "StartTime": MONDAY, "EndTime": MONDAY + HOUR}
    with pytest.raises(ClientError) as caught:
        cloud.metrics.get_metric_data(**(asked | change))
    assert caught.value.response["Error"]["Code"] == code


def test_500_queries_are_answered_in_one_call(office: Any) -> None:
    _, cloud, workspace_id = office
    queries = [_query(workspace_id, number=number) for number in range(500)]
    values = _values(cloud, *queries, begins=MONDAY + 10 * HOUR, ends=MONDAY + 11 * HOUR)
    assert len(values) == 500
    assert all(len(one) == 12 for one in values.values())


def test_metrics_survive_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    window = {"begins": MONDAY, "ends": MONDAY + 24 * HOUR}
    with Simulator(speed=0, start=MONDAY, state_file=state_file) as first:
        cloud = Cloud(first.url)
        first.control.declare_usage(OFFICE)
        workspace_id = cloud.launch("ann")
        first.control.advance(12 * HOUR)
        cloud.reboot(workspace_id)
        first.control.advance(24 * HOUR)
        before = _values(cloud, _query(workspace_id), **window)
    with Simulator(speed=0, state_file=state_file) as second:
        assert _values(Cloud(second.url), _query(workspace_id), **window) == before
        assert before["q0"]


def test_fine_points_of_long_ago_are_gone_and_hourly_ones_go_with_the_history() -> None:
    with Simulator(speed=0, start=MONDAY) as simulator:
        cloud = Cloud(simulator.url)
        simulator.control.declare_usage(OFFICE)
        workspace_id = cloud.launch("ann", WorkspaceProperties={"RunningMode": "ALWAYS_ON"})
        simulator.control.advance(20 * 24 * HOUR)
        window = {"begins": MONDAY, "ends": MONDAY + 24 * HOUR}
        assert _values(cloud, _query(workspace_id, Period=60), **window)["q0"] == {}
        assert len(_values(cloud, _query(workspace_id, Period=3600), **window)["q0"]) == 24


def test_a_history_forgets_what_is_older_than_it_keeps() -> None:
    history = History()
    for number in range(2_000):
        history.add(number * 86_400.0, "AVAILABLE" if number % 2 else "STOPPED", connected=False)
    now = 1_999 * 86_400.0
    assert history.at(now - KEPT_SECONDS) == ("STOPPED", False)
    assert history.at(now) == ("AVAILABLE", False)
    assert history.at(0) is None
    assert len(history.packed()) < 2_000
    assert History(history.packed()).at(now - 86_400) == ("STOPPED", False)


def test_times_are_instants_and_not_wall_clock(office: Any) -> None:
    _, cloud, workspace_id = office
    begins, ends = (datetime.fromtimestamp(MONDAY + hour * HOUR, UTC) for hour in (10, 11))
    answer = cloud.metrics.get_metric_data(MetricDataQueries=[_query(workspace_id)], StartTime=begins, EndTime=ends)
    stamps = answer["MetricDataResults"][0]["Timestamps"]
    assert all(begins <= stamp < ends for stamp in stamps)
    assert len(stamps) == 12
