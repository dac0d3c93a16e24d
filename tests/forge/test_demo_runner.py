"""The demo's supervisor: starts everything, says where it is, replaces what dies, and leaves nothing running."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from forge.db.embedded.processes import ServerFailed, spawn, temporary_folder
from forge.demo.children import Command, Family
from forge.demo.home import AlreadyRunning, Home
from forge.demo.runner import web_port
from forge.env import BASE_DIR

GIVEN = ("DATABASE_", "REDIS_", "AWS_", "FORGE_", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "DJANGO_")


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = temporary_folder("forge-demo-")  # where PostgreSQL's user can come in, unlike tmp_path
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


class Run:
    """`python -m forge.demo --empty` with a home of its own."""

    def __init__(self, home: Path) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(GIVEN)}
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forge.demo", "--empty"],
            cwd=BASE_DIR,
            env={**env, "FORGE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    def until_it_says(self, words: str) -> str:
        for line in self.process.stdout:
            self.said.append(line)
            if words in line:
                return line
        raise AssertionError(f"The demo ended without saying {words!r}:\n{''.join(self.said)}")

    def rest(self) -> str:
        return self.process.communicate(timeout=60)[0]

    def children(self) -> dict[str, int]:
        return {name: pid for name, (pid, _) in json.loads((self.home / "children.json").read_text()).items()}

    def demo(self) -> dict:
        return json.loads((self.home / "demo.json").read_text())


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    home = Home(folder / "home")
    home.open()
    yield home
    home.close()


def has_ended(pid: int, within: float = 30) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle) as file:
        return bool(select.select([file], [], [], within)[0])


@pytest.mark.xdist_group("demo")
def test_a_demo_serves_is_found_by_commands_survives_its_own_crash_and_leaves_nothing_running(folder):
    first = Run(folder / "home")
    first.until_it_says("Ctrl-C stops everything.")
    addresses, children = first.demo(), first.children()

    assert addresses.keys() == {
        "base_url", "database_url", "owner_url", "superuser_url", "redis_url", "simulator_url", "users",
    }  # fmt: skip
    with urllib.request.urlopen(f"{addresses['base_url']}/healthz") as answer:
        assert answer.status == 200
    assert (folder / "home" / "demo.json").stat().st_mode & 0o777 == 0o600
    assert settings_of_a_command(folder / "home") == addresses["database_url"]
    second = Run(folder / "home")
    assert f"already running ({addresses['base_url']})" in second.rest()
    assert second.process.returncode == 1

    os.kill(children["Worker mail"], signal.SIGKILL)
    assert "ended by SIGKILL; it starts again in 1 s" in first.until_it_says("Worker mail")
    first.until_it_says("Worker mail is running again.")
    children = first.children()
    with psycopg.connect(addresses["owner_url"], autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    first.process.kill()
    first.process.communicate()
    assert settings_of_a_command(folder / "home").startswith("DATABASE_URL is not set. Start it.")

    third = Run(folder / "home")
    third.until_it_says("Ctrl-C stops everything.")
    assert all(has_ended(pid) for pid in children.values())
    assert third.demo()["database_url"] == addresses["database_url"]
    with psycopg.connect(addresses["owner_url"]) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    children = third.children()
    third.process.send_signal(signal.SIGINT)
    assert third.rest().splitlines() == ["Stopping …"]
    assert third.process.returncode == 0
    assert all(has_ended(pid, within=0) for pid in children.values())
    assert not (folder / "home" / "demo.json").exists()


def settings_of_a_command(home: Path) -> str:
    """The database that a management command of a new shell would use, or what it says instead."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(GIVEN)}
    script = "from forge.env import required; print(required('DATABASE_URL', 'Start it.'))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=BASE_DIR,
        env={**env, "FORGE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().rpartition("ImproperlyConfigured: ")[2]


@pytest.fixture
def family(tmp_path) -> Iterator[tuple[Family, list[str], Callable[..., Command]]]:
    said: list[str] = []
    family = Family(say=said.append, changed=lambda pids: None)

    def command(script: str, **options: object) -> Command:
        return Command([sys.executable, "-c", script], env=dict(os.environ), log=tmp_path / "log", **options)

    yield family, said, command
    family.stop()


def look_until(family: Family, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        family.look()


def test_a_part_that_keeps_ending_waits_longer_each_time(family):
    family, said, command = family
    family.start("Part", command("raise SystemExit(3)"))

    look_until(family, lambda: len([line for line in said if "status 3" in line]) == 2)

    assert [line for line in said if "status 3" in line] == [
        "Part ended by itself with status 3; it starts again in 1 s.",
        "Part ended by itself with status 3; it starts again in 2 s.",
    ]


def test_a_part_that_does_not_get_ready_shows_the_end_of_its_log(family):
    family, _, command = family

    with pytest.raises(ServerFailed, match="no such queue"):
        family.start("Part", command("raise SystemExit('no such queue')", ready=lambda: False))


def test_a_part_that_ignores_the_request_to_end_is_killed_with_its_own_children(family, tmp_path, monkeypatch):
    family, _, command = family

    def pid() -> int:
        return int((tmp_path / "pid").read_text() or 0)

    deaf = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); signal.pause()"
    )
    family.start("Part", command(deaf, ready=lambda: (tmp_path / "pid").exists() and bool(pid())))
    monkeypatch.setattr("forge.demo.children.PATIENCE", 0.2)

    family.stop()

    assert has_ended(pid())


def test_what_an_earlier_demo_left_running_is_ended_and_a_stranger_with_its_number_is_not(home):
    log = home.log("left")
    left, stranger = (spawn([sys.executable, "-c", "import signal; signal.pause()"], log=log) for _ in range(2))
    home.remember_children({"Left": left.pid, "Stranger": stranger.pid})
    known = json.loads((home.folder / "children.json").read_text())
    known["Stranger"][1] = "1"  # started at another time: the number is another process's now
    (home.folder / "children.json").write_text(json.dumps(known))

    assert home.end_leftovers() == ["Left"]

    assert left.wait(10) == -signal.SIGTERM
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_one_home_has_one_demo_and_its_secret_key_stays(home):
    key = home.secret_key()

    with pytest.raises(AlreadyRunning, match="still starting"):
        Home(home.folder).open()

    assert Home(home.folder).secret_key() == key
    assert len(key) > 50


def test_the_database_of_a_closed_checkout_lies_outside_it_and_goes_with_it(tmp_path):
    home = Home(tmp_path / "closed")
    home.open()
    home.close()
    home.folder.chmod(0o700)

    place = home.postgres
    place.mkdir(exist_ok=True)
    home.remove()

    assert (place.parent == home.folder) == (os.geteuid() != 0)
    assert not place.exists()
    assert not home.folder.exists()


def test_beginning_anew_forgets_the_data_and_keeps_the_keys(home):
    key = home.secret_key()
    (home.folder / "demo-users.json").write_text("[]")
    home.simulator_state.write_text("{}")
    home.seeding.touch()
    home.postgres.mkdir(parents=True)

    home.forget_data()

    assert sorted(path.name for path in home.folder.iterdir()) == ["demo.lock", "logs", "secret-key"]
    assert not home.postgres.exists()
    assert home.secret_key() == key


@pytest.mark.parametrize("asked", ["eighty", "-1", "65536"])
def test_a_port_that_is_none_is_refused(asked):
    with pytest.raises(ServerFailed, match=f"FORGE_DEMO_PORT={asked} is not"):
        web_port(asked)


def test_a_port_is_the_one_asked_for_or_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerFailed):
        web_port(str(taken.getsockname()[1]))
    assert web_port("0") > 0
    assert web_port(None) >= 8000
