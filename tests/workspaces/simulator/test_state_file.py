"""What survives a restart and a kill, and what an unusable state file says."""

import concurrent.futures
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from tests.workspaces.simulator.cloud import Cloud, refused
from workspaces.simulator.client import Control
from workspaces.simulator.server import Simulator
from workspaces.simulator.store import StateFileInUseError, StateFileUnknownError
from workspaces.simulator.traffic import OTHERS

ROOT = Path(__file__).parents[3]


@contextmanager
def _process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator in a process of its own, and its address."""
    command = [sys.executable, "-m", "workspaces.simulator", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        try:
            yield process, found.group()
        finally:
            process.kill()


def test_machines_tags_and_time_survive_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(speed=1e-9, state_file=state_file) as first:
        cloud = Cloud(first.url)
        ann = cloud.launch("ann", Tags=[{"Key": "a", "Value": "b"}])
        bob = cloud.launch("bob", WorkspaceProperties={"RunningMode": "ALWAYS_ON"})
        ended = cloud.launch("cyd")
        cloud.terminate(ended)
        first.control.advance(7 * 3600)
        cloud.modify(bob, ComputeTypeName="POWER")
        before = (cloud.api.describe_workspaces()["Workspaces"], first.control.machines(), first.control.launches())
        then = first.control.health()["now"]
    with Simulator(speed=1e-9, state_file=state_file) as second:
        cloud = Cloud(second.url)
        now = second.control.health()["now"]
        after = (cloud.api.describe_workspaces()["Workspaces"], second.control.machines(), second.control.launches())
        assert after == before
        assert now == pytest.approx(then, abs=1e-3)
        assert cloud.api.describe_tags(ResourceId=ann)["TagList"] == [{"Key": "a", "Value": "b"}]
        assert cloud.refusal("bob") == "ResourceExists.WorkSpace"
        second.control.advance(120)
        machine = cloud.get(bob)
        assert machine is not None
        assert machine["WorkspaceProperties"]["ComputeTypeName"] == "POWER"


def test_changed_tags_survive_a_restart_in_their_order(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(state_file=state_file) as first:
        cloud = Cloud(first.url)
        for user in ("ann", "bob"):
            cloud.launch(user, Tags=[{"Key": "a", "Value": "old"}])
        ann = cloud.api.describe_workspaces()["Workspaces"][0]["WorkspaceId"]
        cloud.api.create_tags(ResourceId=ann, Tags=[{"Key": "a", "Value": "new"}])
        before = cloud.tagging.get_resources()["ResourceTagMappingList"]
    with Simulator(state_file=state_file) as second:
        after = Cloud(second.url).tagging.get_resources()["ResourceTagMappingList"]
    assert after == before
    assert after[0]["Tags"] == [{"Key": "a", "Value": "new"}]


def test_pages_go_on_over_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(state_file=state_file) as first:
        cloud = Cloud(first.url)
        launched = [cloud.launch(f"user{number}") for number in range(4)]
        token = cloud.api.describe_workspaces(Limit=2)["NextToken"]
    with Simulator(state_file=state_file) as second:
        cloud = Cloud(second.url)
        launched.append(cloud.launch("late"))
        page = cloud.api.describe_workspaces(NextToken=token)["Workspaces"]
        assert [machine["WorkspaceId"] for machine in page] == launched[2:]


def test_without_a_state_file_nothing_is_kept(simulator: Simulator, cloud: Cloud) -> None:
    cloud.launch("ann")
    with Simulator() as other:
        assert other.control.machines() == []


def test_a_killed_simulator_keeps_every_machine_that_it_confirmed(tmp_path: Path) -> None:
    state_file = str(tmp_path / "aws.state")
    confirmed: list[str] = []
    with _process("--state-file", state_file) as (process, url):
        cloud = Cloud(url)

        def launch(worker: int) -> None:
            for number in range(10_000):
                try:
                    confirmed.append(cloud.launch(f"user{worker}-{number}"))
                except BotoCoreError:
                    return
                if len(confirmed) >= 60:
                    os.kill(process.pid, signal.SIGKILL)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(launch, range(4)))
        assert process.wait(timeout=20) == -signal.SIGKILL
    with Simulator(state_file=state_file) as after:
        kept = {machine["workspace_id"] for machine in after.control.machines()}
        assert len(confirmed) >= 60
        assert set(confirmed) <= kept
        assert all(one["ever"] == one["live"] == 1 for one in after.control.launches())


def test_two_simulators_cannot_share_a_state_file(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(state_file=state_file), pytest.raises(StateFileInUseError):
        Simulator(state_file=state_file).start()
    with Simulator(state_file=state_file):
        pass


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, not a simulator's\n" * 100)
    with pytest.raises(StateFileUnknownError):
        Simulator(state_file=text).start()
    assert text.read_text().startswith("these are my notes")


def test_a_state_file_of_another_version_is_refused(tmp_path: Path) -> None:
    state_file = tmp_path / "aws.state"
    connection = sqlite3.connect(state_file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateFileUnknownError, match="99"):
        Simulator(state_file=state_file).start()


def test_the_module_runs_alone_and_ends_politely_on_sigterm(tmp_path: Path) -> None:
    with _process("--speed", "60", "--duration", "PENDING=0") as (process, url):
        cloud = Cloud(url)
        assert cloud.state(cloud.launch("ann")) == "AVAILABLE"
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_faults_usage_and_limits_are_options_of_its_start() -> None:
    fault, rule = {"kind": "throttling", "rate": 0.5}, {"pattern": {"time_zone": "UTC"}}
    options = ("--fault", json.dumps(fault), "--usage", json.dumps(rule), "--limits", "simulated", "--speed", "0")
    with _process(*options) as (_, url):
        control = Control(url)
        assert [(one["kind"], one["rate"]) for one in control.faults()] == [("throttling", 0.5)]
        assert control.usage() == [rule]
        control.withdraw_faults()
        api = Cloud(url).api
        for _ in range(OTHERS.burst):
            api.describe_account()
        with refused("ThrottlingException"):
            api.describe_account()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--duration", "SLEEPING=1"], 2),
        (["--duration", "PENDING=-1"], 2),
        (["--speed", "-1"], 1),
        (["--fault", "[]"], 2),
        (["--fault", '{"kind": "rain", "count": 1}'], 1),
    ],
)
def test_a_wrong_option_is_explained(arguments: list[str], status: int) -> None:
    command = [sys.executable, "-m", "workspaces.simulator", "--port", "0", *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == status
    assert finished.stderr.count("\n") < 12
    assert "Traceback" not in finished.stderr


def test_a_port_that_is_taken_is_explained(simulator: Simulator) -> None:
    command = [sys.executable, "-m", "workspaces.simulator", "--port", str(simulator.port)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 1
    assert "cannot start" in finished.stderr


def test_the_management_command_needs_no_database(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "aws_simulator", "--port", "0", "--state-file", str(tmp_path / "aws.state")]
    nowhere = os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=nowhere) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found
            assert Cloud(found.group()).api.describe_workspaces()["Workspaces"] == []
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
