"""What a machine does over simulated time, by itself and when asked."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator import machine as life
from workspaces.simulator.errors import AwsError
from workspaces.simulator.machine import DURATIONS, GONE, INSTANT, Machine
from workspaces.simulator.operations import Command
from workspaces.simulator.server import Simulator


def _codes(failures: list[dict[str, str]]) -> list[str]:
    return [failure["ErrorCode"] for failure in failures]


def test_a_machine_is_pending_until_it_is_provisioned(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(119)
    assert stepped_cloud.state(workspace_id) == "PENDING"
    stepped.control.advance(1)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"


def test_stop_and_start_pass_through_stopping_and_starting(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    seen = []
    for command in (stepped_cloud.stop, stepped_cloud.start):
        assert command(workspace_id) == []
        seen.append(stepped_cloud.state(workspace_id))
        stepped.control.advance(60)
        seen.append(stepped_cloud.state(workspace_id))
    assert seen == ["STOPPING", "STOPPED", "STARTING", "AVAILABLE"]


def test_reboot_passes_through_rebooting(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    assert stepped_cloud.reboot(workspace_id) == []
    assert stepped_cloud.state(workspace_id) == "REBOOTING"
    stepped.control.advance(90)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"


def test_a_terminated_machine_is_seen_briefly_and_then_not_found(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    seen = []
    stepped_cloud.terminate(workspace_id)
    for seconds in (0, 60, 30):
        stepped.control.advance(seconds)
        seen.append(stepped_cloud.state(workspace_id))
    assert seen == ["TERMINATING", "TERMINATED", None]
    assert _codes(stepped_cloud.terminate(workspace_id)) == ["ResourceNotFound.WorkSpace"]


def test_a_machine_can_be_terminated_in_any_state_and_twice(stepped: Simulator, stepped_cloud: Cloud) -> None:
    pending, stopped = stepped_cloud.launch("ann"), stepped_cloud.launch("bob")
    stepped_cloud.terminate(pending)
    stepped.control.advance(120)
    stepped_cloud.stop(stopped)
    assert stepped_cloud.terminate(stopped) == []
    stepped.control.advance(30)
    assert stepped_cloud.terminate(stopped) == []
    stepped.control.advance(30)
    assert stepped_cloud.state(stopped) == "TERMINATED"


def test_an_auto_stop_machine_stops_after_its_minutes_without_a_connection(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120 + 60 * 60 - 1)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    stepped.control.advance(1)
    assert stepped_cloud.state(workspace_id) == "STOPPING"
    stepped.control.advance(60)
    assert stepped_cloud.state(workspace_id) == "STOPPED"


def test_the_auto_stop_time_begins_when_the_user_logs_off(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    stepped.control.connect(workspace_id)
    stepped.control.advance(8 * 3600)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    stepped.control.disconnect(workspace_id)
    stepped.control.advance(3600 - 1)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    stepped.control.advance(1)
    assert stepped_cloud.state(workspace_id) == "STOPPING"


def test_an_always_on_machine_does_not_stop_by_itself(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann", WorkspaceProperties={"RunningMode": "ALWAYS_ON"})
    stepped.control.advance(30 * 24 * 3600)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"


def test_a_login_wakes_a_stopped_auto_stop_machine(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(2 * 3600)
    assert stepped_cloud.state(workspace_id) == "STOPPED"
    stepped.control.connect(workspace_id)
    assert stepped_cloud.state(workspace_id) == "STARTING"
    stepped.control.advance(60)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    assert stepped_cloud.connection(workspace_id)["ConnectionState"] == "CONNECTED"


def test_an_always_on_machine_can_be_neither_stopped_nor_started(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", WorkspaceProperties={"RunningMode": "ALWAYS_ON"})
    assert _codes(cloud.stop(workspace_id)) == ["OperationNotSupportedException"]
    assert _codes(cloud.start(workspace_id)) == ["OperationNotSupportedException"]
    assert cloud.state(workspace_id) == "AVAILABLE"


def test_only_a_stopped_machine_can_be_started(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    assert _codes(stepped_cloud.start(workspace_id)) == ["InvalidResourceStateException"]
    stepped.control.advance(120)
    assert _codes(stepped_cloud.start(workspace_id)) == ["InvalidResourceStateException"]
    stepped_cloud.stop(workspace_id)
    assert _codes(stepped_cloud.start(workspace_id)) == ["InvalidResourceStateException"]


def test_only_a_running_machine_can_be_stopped_or_rebooted(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    assert _codes(stepped_cloud.stop(workspace_id)) == ["InvalidResourceStateException"]
    assert _codes(stepped_cloud.reboot(workspace_id)) == ["InvalidResourceStateException"]
    stepped.control.advance(120)
    stepped_cloud.stop(workspace_id)
    stepped.control.advance(60)
    assert _codes(stepped_cloud.stop(workspace_id)) == ["InvalidResourceStateException"]
    assert _codes(stepped_cloud.reboot(workspace_id)) == ["InvalidResourceStateException"]


@pytest.mark.parametrize("verb", ["start", "stop", "reboot", "terminate"])
def test_in_a_batch_each_machine_succeeds_or_fails_by_itself(cloud: Cloud, verb: str) -> None:
    workspace_id = cloud.launch("ann")
    if verb == "start":
        cloud.stop(workspace_id)
    failures = getattr(cloud, verb)("ws-000000000", workspace_id)
    assert [(one["WorkspaceId"], one["ErrorCode"]) for one in failures] == [
        ("ws-000000000", "ResourceNotFound.WorkSpace")
    ]


def test_a_machine_twice_in_a_batch_is_changed_once(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    assert _codes(cloud.stop(workspace_id, workspace_id)) == ["InvalidResourceStateException"]
    assert cloud.state(workspace_id) == "STOPPED"


# -- The pure functions --------------------------------------------------------------------------------------------


def _machine(**more: object) -> Machine:
    fields: dict[str, object] = {
        "workspace_id": "ws-000000000",
        "account": "123456789012",
        "region": "us-east-1",
        "position": 0,
        "directory_id": "d-0123456789",
        "user_name": "ann",
        "bundle_id": "wsb-000000000",
        "created_at": 0.0,
        "state": "PENDING",
        "since": 0.0,
        "until": DURATIONS["PENDING"],
        "running_mode": "AUTO_STOP",
        "auto_stop_minutes": 60,
        "root_gib": 80,
        "user_gib": 50,
        "compute_type": "STANDARD",
        "operating_system": "UBUNTU_22_04",
        "protocol": "WSP",
    }
    return Machine(**(fields | more))  # type: ignore[arg-type]


def test_changes_are_dated_when_they_fell_due_and_not_when_somebody_looked() -> None:
    late = life.at(_machine(), 10 * 3600.0, DURATIONS)
    assert (late.state, late.since, late.idle_since) == ("STOPPED", 120.0 + 3600.0 + 60.0, 120.0)


def test_without_durations_every_change_is_complete_at_the_next_look() -> None:
    born = _machine(until=0.0)
    running = life.at(born, 0.0, INSTANT)
    assert running.state == "AVAILABLE"
    assert life.at(life.stop(running, 1.0, INSTANT), 1.0, INSTANT).state == "STOPPED"
    assert life.at(life.terminate(running, 1.0, INSTANT), 1.0, INSTANT).is_gone


COMMANDS = (life.start, life.stop, life.reboot, life.terminate, life.connect, life.disconnect)
_STEPS = st.lists(st.tuples(st.floats(0, 10_000), st.sampled_from(COMMANDS)), max_size=12)


def _play(steps: list[tuple[float, Command]], looks: list[float]) -> Machine:
    """Carry a machine through commands; `looks` are the parts of each pause after which somebody looks at it."""
    now, record = 0.0, _machine()
    for pause, command in steps:
        for part in sorted(looks):
            record = life.at(record, now + pause * part, DURATIONS)
        now += pause
        record = life.at(record, now, DURATIONS)
        with contextlib.suppress(AwsError):
            record = command(record, now, DURATIONS)
    return life.at(record, now + 7_000, DURATIONS)


@given(steps=_STEPS, looks=st.lists(st.floats(0, 1), max_size=3))
def test_looking_changes_nothing(steps: list[tuple[float, Command]], looks: list[float]) -> None:
    assert _play(steps, looks) == _play(steps, [])


@given(steps=_STEPS, first=st.floats(0, 50_000), second=st.floats(0, 50_000))
def test_carrying_a_record_in_two_steps_is_carrying_it_in_one(
    steps: list[tuple[float, Command]], first: float, second: float
) -> None:
    record = _play(steps, [])
    start = record.since
    halfway = life.at(record, start + first, DURATIONS)
    assert life.at(halfway, start + first + second, DURATIONS) == life.at(record, start + first + second, DURATIONS)


@given(steps=_STEPS)
def test_no_state_begins_in_the_future_and_only_passing_states_have_an_end(steps: list[tuple[float, Command]]) -> None:
    record = _play(steps, [])
    assert record.since <= sum(pause for pause, _ in steps) + 7_000
    assert (record.until is None) == (record.state in {"AVAILABLE", "STOPPED", GONE})
    assert not (record.connected and record.state not in {"AVAILABLE", "STARTING"})


def test_a_shorter_auto_stop_time_stops_the_machine_now_and_not_in_the_past() -> None:
    idle = _machine(state="AVAILABLE", until=None, idle_since=0.0, auto_stop_minutes=180)
    shortened = replace(idle, auto_stop_minutes=60, running_mode_changed_at=7_200.0)
    assert shortened.auto_stops_at == 7_200.0
