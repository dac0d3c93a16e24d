"""The control endpoints, through the client that tests and the demo use."""

import json
import time
import urllib.request
from typing import Any

import pytest

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.client import ControlError
from workspaces.simulator.clock import Anchor, Clock
from workspaces.simulator.server import Simulator


def test_health_tells_the_simulated_time_and_how_many_machines_exist(simulator: Simulator, cloud: Cloud) -> None:
    cloud.launch("ann")
    cloud.terminate(cloud.launch("bob"))
    health = simulator.control.health()
    assert (health["status"], health["speed"], health["machines"]) == ("ok", 1.0, 1)
    assert abs(health["now"] - time.time()) < 60


def test_machines_are_listed_also_when_they_are_gone(simulator: Simulator, cloud: Cloud) -> None:
    ann = cloud.launch("ann", Tags=[{"Key": "a", "Value": "b"}])
    bob = cloud.launch("bob")
    cloud.terminate(bob)
    listed = {one["workspace_id"]: one for one in simulator.control.machines()}
    assert (listed[ann]["state"], listed[bob]["state"]) == ("AVAILABLE", "GONE")
    assert listed[ann]["tags"] == [{"Key": "a", "Value": "b"}]
    assert [one["workspace_id"] for one in simulator.control.machines(state="GONE", region=cloud.region)] == [bob]


def test_launches_count_every_machine_a_directory_user_ever_had(simulator: Simulator, cloud: Cloud) -> None:
    for name in ("Ann", "ann", "ANN"):
        cloud.terminate(cloud.launch(name))
    cloud.launch("ann")
    cloud.launch("bob")
    counted = {one["user_name"]: (one["ever"], one["live"]) for one in simulator.control.launches()}
    assert counted == {"ann": (4, 1), "bob": (1, 1)}


def test_a_connection_needs_a_machine_that_runs(stepped: Simulator, stepped_cloud: Cloud) -> None:
    with pytest.raises(ControlError) as unknown:
        stepped.control.connect("ws-000000000")
    with pytest.raises(ControlError) as pending:
        stepped.control.connect(stepped_cloud.launch("ann"))
    assert (unknown.value.status, pending.value.status) == (404, 409)


def test_disconnecting_a_machine_nobody_is_connected_to_changes_nothing(simulator: Simulator, cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    simulator.control.disconnect(workspace_id)
    assert "LastKnownUserConnectionTimestamp" not in cloud.connection(workspace_id)


def test_the_clock_is_moved_forward_by_seconds(stepped: Simulator) -> None:
    before = stepped.control.health()["now"]
    assert stepped.control.advance(3600) == pytest.approx(before + 3600, abs=1e-3)
    assert stepped.control.health()["now"] == pytest.approx(before + 3600, abs=1e-3)


@pytest.mark.parametrize("body", [{"seconds": -1}, {"seconds": "1"}, {"seconds": True}, {"seconds": None}, {}, [], "x"])
def test_the_clock_is_moved_by_nothing_else(simulator: Simulator, body: object) -> None:
    request = urllib.request.Request(
        f"{simulator.url}/_control/clock/advance", method="POST", data=json.dumps(body).encode()
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as error:
        assert error.code == 400


@pytest.mark.parametrize("path", ["", "nothing", "machines/ws-000000000", "clock"])
def test_unknown_control_endpoints_and_filters_are_named(simulator: Simulator, path: str) -> None:
    with pytest.raises(ControlError) as endpoint:
        simulator.control._call("GET", path)
    with pytest.raises(ControlError) as unknown_filter:
        simulator.control.machines(colour="red")
    assert endpoint.value.status == 404
    assert unknown_filter.value.status == 400
    assert "colour" in str(unknown_filter.value)


def test_simulated_time_runs_at_its_speed_and_never_back() -> None:
    real = [1_000.0]
    clock = Clock(speed=60, real=lambda: real[0])
    assert clock.now() == 1_000
    real[0] = 1_010
    assert clock.now() == 1_600
    real[0] = 900
    assert clock.now() == 1_600


def test_the_speed_is_set_without_a_jump(stepped: Simulator) -> None:
    began = stepped.control.health()["now"]
    assert stepped.control.set_speed(3600) == pytest.approx(began, abs=600)
    time.sleep(0.02)
    stopped = stepped.control.set_speed(0)
    assert stopped - began >= 0.02 * 3600
    assert stepped.control.health() == {"status": "ok", "now": stopped, "speed": 0, "machines": 0}
    with pytest.raises(ControlError):
        stepped.control.set_speed(-1)


@pytest.mark.parametrize(
    "wrong", [{"name": "Mood", "value": 1}, {"name": "Fleets", "value": -1}, {"name": "Fleets", "value": True}]
)
def test_a_wrong_quota_is_explained(simulator: Simulator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="quota") as caught:
        simulator.control.set_quota(account="123456789012", region="us-east-1", **wrong)
    assert caught.value.status == 400


def test_time_passed_also_while_the_simulator_was_off() -> None:
    clock = Clock(speed=1, before=Anchor(real=1_000, simulated=5_000, speed=60), real=lambda: 1_010.0)
    assert clock.now() == 5_600


@pytest.mark.parametrize("speed", [-1, float("nan")])
def test_time_does_not_run_backwards(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Clock(speed=speed)


def test_at_speed_1_simulated_time_is_the_wall_clock(simulator: Simulator) -> None:
    assert abs(simulator.control.health()["now"] - time.time()) < 60


def test_unknown_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="SLEEPING"):
        Simulator(durations={"SLEEPING": 1})
