"""Embedded servers start anywhere, keep what they were told, and outlive being killed."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from forge.db.embedded import EmbeddedPostgres, EmbeddedValkey, ServerFailed
from forge.db.embedded.postgres import APP, JOBS, OWNER, SUPERUSER
from forge.db.embedded.processes import (
    free_port,
    outside_folder,
    port_is_free,
    reachable_by_others,
    remembered_port,
    temporary_folder,
    unprivileged,
    write_private,
)
from forge.env import BASE_DIR

pytestmark = pytest.mark.xdist_group("embedded")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not tmp_path: pytest's folders are closed to the user that runs PostgreSQL when we are root.
    folder = temporary_folder("forge-embedded-")
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "postgres", database="forge")
    server.start()
    yield server
    server.stop()


def run(server: EmbeddedPostgres, role: str, statement: str) -> list[tuple]:
    with psycopg.connect(server.url(role, "forge"), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def has_ended(pid: int, within: float = 30) -> bool:
    """Whether the process ends in time; woken by the kernel, for a child of somebody else too."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle) as file:
        return bool(select.select([file], [], [], within)[0])


def test_roles_are_what_their_names_say(postgres):
    rows = run(
        postgres,
        APP,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname ~ '^forge_'"
        " ORDER BY rolname",
    )

    assert rows == [
        (APP, False, False, False, False),
        (JOBS, False, True, False, False),
        (OWNER, False, False, False, False),
    ]
    assert run(postgres, SUPERUSER, "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'forge'") == [
        (OWNER,)
    ]


def test_the_application_role_owns_and_creates_nothing_in_a_fresh_database(postgres):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(postgres, APP, "CREATE TABLE mine (id int)")


def test_it_listens_on_this_machine_alone_and_asks_for_a_password(postgres):
    assert run(postgres, SUPERUSER, "SHOW listen_addresses") == [("127.0.0.1",)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://{APP}:guessed@127.0.0.1:{postgres.port}/forge")


def test_text_is_utf8_with_the_c_locale_and_time_is_utc(postgres):
    assert run(postgres, APP, "SHOW server_encoding") == [("UTF8",)]
    assert run(postgres, APP, "SELECT datcollate FROM pg_database WHERE datname = 'forge'") == [("C.UTF-8",)]
    assert run(postgres, APP, "SHOW timezone") == [("UTC",)]


def test_root_runs_it_as_somebody_else(postgres):
    owner = Path(f"/proc/{postgres.process.pid}").stat().st_uid

    assert owner == (unprivileged().uid if os.geteuid() == 0 else os.geteuid())
    assert owner != 0


def test_passwords_are_ours_alone(postgres):
    assert (postgres.home / "passwords.json").stat().st_mode & 0o777 == 0o600
    assert not list(postgres.home.glob("initdb-password*"))


def test_a_restart_keeps_data_passwords_and_address(postgres):
    address = postgres.url(OWNER, "forge")
    run(postgres, OWNER, "CREATE TABLE kept AS SELECT 1 AS one")

    postgres.stop()
    postgres.start()

    assert postgres.url(OWNER, "forge") == address
    assert run(postgres, OWNER, "SELECT one FROM kept") == [(1,)]


def test_a_killed_server_starts_again_at_once_with_what_was_committed(postgres):
    run(postgres, OWNER, "CREATE TABLE committed AS SELECT 1 AS one")

    postgres.process.kill()
    postgres.process.wait()
    postgres.start()

    assert run(postgres, OWNER, "SELECT one FROM committed") == [(1,)]


def test_a_server_that_another_process_left_running_is_taken_over(postgres):
    left = EmbeddedPostgres(postgres.home, database="forge")
    left.process, pid, address = postgres.process, postgres.process.pid, postgres.url(OWNER)

    postgres.start()

    assert left.process.wait(30) == 0
    assert postgres.process.pid != pid
    assert postgres.url(OWNER) == address
    assert run(postgres, APP, "SELECT 1") == [(1,)]


def test_a_lock_file_that_names_somebody_elses_process_ends_nobody(postgres):
    postgres.stop()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as bystander:
        (postgres.data / "postmaster.pid").write_text(f"{bystander.pid}\n{postgres.data}\n")
        postgres.start()

        assert bystander.poll() is None
        bystander.stdin.close()


def test_a_data_folder_that_is_broken_is_explained_by_the_servers_own_words(folder):
    server = EmbeddedPostgres(folder / "broken", durable=False)
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("9.6\n")

    with pytest.raises(ServerFailed, match=r"PostgreSQL did not start:\n.*(directory|file)"):
        server.start(within=0.5)


def test_servers_end_when_their_starter_is_killed(folder):
    script = (
        "import sys, pathlib; from forge.db.embedded import *\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "servers = [EmbeddedPostgres(home / 'orphan', durable=False), EmbeddedValkey(home / 'orphan-valkey')]\n"
        "[server.start() for server in servers]\n"
        "print(*[server.process.pid for server in servers], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
    ) as starter:
        pids = [int(word) for word in starter.stdout.readline().split()]
        starter.send_signal(signal.SIGKILL)

    assert len(pids) == 2
    assert all(has_ended(pid) for pid in pids)


def test_valkey_keeps_its_data_and_address_over_a_restart_and_a_kill(folder):
    server = EmbeddedValkey(folder / "valkey")
    server.start()
    address = server.url
    with redis.Redis.from_url(address) as client:
        client.set("bell", "rung")
    server.stop()

    server.start()
    server.process.kill()
    server.process.wait()
    server.start()

    with redis.Redis.from_url(address) as client:
        assert client.get("bell") == b"rung"
    server.stop()
    assert server.process is None


def test_a_port_is_remembered_until_somebody_takes_it(tmp_path):
    port = remembered_port(tmp_path / "port")

    assert remembered_port(tmp_path / "port") == port
    assert port_is_free(port)
    with subprocess.Popen(
        [sys.executable, "-c", f"import socket; s = socket.create_server(('127.0.0.1', {port})); print(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as taker:
        taker.stdout.readline()
        assert not port_is_free(port)
        assert remembered_port(tmp_path / "port") != port
        assert free_port(port) != port
        taker.communicate("")


def test_a_folder_that_others_cannot_pass_through_is_noticed_and_gets_a_place_outside(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    outside = outside_folder(closed)

    assert not reachable_by_others(closed)
    assert reachable_by_others(outside)
    assert outside_folder(closed) == outside
    assert outside.stat().st_mode & 0o777 == 0o711
    outside.rmdir()


def test_a_private_file_is_private_from_its_first_byte(tmp_path):
    path = tmp_path / "secret"
    path.write_text("open")

    write_private(path, "closed")

    assert path.read_text() == "closed"
    assert path.stat().st_mode & 0o777 == 0o600
