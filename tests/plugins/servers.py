"""Gives a pytest run its PostgreSQL and Valkey, and its environment, before Django reads the settings.

Loaded early by `-p tests.plugins.servers`. With DATABASE_URL unset, or with one whose role cannot make databases and
roles, an embedded PostgreSQL is started for this run alone; REDIS_URL likewise. Workers of pytest-xdist inherit the
environment of the process that started them and start nothing.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from forge.db.embedded import EmbeddedPostgres, EmbeddedValkey
from forge.db.embedded.postgres import APP, OWNER, has_database, make_roles
from forge.db.embedded.processes import temporary_folder
from tests.plugins import cache

RUN, FOLDER, SUPERUSER_URL = "FORGE_TEST_RUN", "FORGE_TEST_FOLDER", "FORGE_TEST_SUPERUSER_URL"
IS_EMBEDDED = "FORGE_TEST_IS_EMBEDDED"
"""Environment variables by which the processes of one run find its databases and its folder."""

EMBEDDED_TEMPLATE = "forge_test_template"

# Every test reaches PostgreSQL as the superuser that made the databases and then takes a role, so that one set of
# tests runs on a server whose role passwords are not ours to change.
_SETTINGS = {
    "DEBUG": "true",  # pytest-django turns it off again; what derives from it (https, static files) stays lenient
    "SECRET_KEY": "a-secret-key-for-tests-that-signs-nothing-of-value",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "AWS_ENDPOINT_URL": "",
    "FORGE_AWS_CALLS_PER_SECOND": "0",
    "FORGE_PRICE_STALE_DAYS": "36500",  # the first price book was read once; tests run for years
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_KEPT = ("FORGE_SOAK", "FORGE_PG_BIN")


@dataclass
class Servers:
    """What this run started, to be stopped when it ends."""

    folder: Path
    header: list[str] = field(default_factory=list)
    postgres: EmbeddedPostgres | None = None
    cache_key: str = ""
    valkey: EmbeddedValkey | None = None

    def stop(self) -> None:
        self._keep_template()
        for server in (self.postgres, self.valkey):
            if server is not None:
                server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep_template(self) -> None:
        if self.postgres is None or self.postgres.process is None or cache.key() != self.cache_key:
            return
        _drop_databases(self.postgres.url("postgres"), os.environ[RUN])
        with self.postgres.connect() as connection:
            is_whole = has_database(connection, EMBEDDED_TEMPLATE)
        self.postgres.stop()
        if is_whole:
            cache.keep(self.postgres.home, self.cache_key)


_KEY = pytest.StashKey[Servers]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Iterator[None]:
    """Runs around pytest-django's hook of the same name, which reads the settings."""
    only_talks = early_config.known_args_namespace.help or early_config.known_args_namespace.version
    if "PYTEST_XDIST_WORKER" not in os.environ and not only_talks:
        early_config.stash[_KEY] = _start()
    return (yield)


def pytest_report_header(config: pytest.Config) -> list[str]:
    servers = config.stash.get(_KEY, None)
    return servers.header if servers else []


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if servers := config.stash.get(_KEY, None):
        if servers.postgres is None:
            _drop_databases(os.environ[SUPERUSER_URL], os.environ[RUN])
        servers.stop()


def in_database(url: str, name: str, *, role: str | None = None) -> str:
    """The same server and login with another database, from the first statement on as `role`."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "options"]
    if role is not None:
        query.append(("options", f"-c role={role}"))
    return urlunsplit(parts._replace(path=f"/{name}", query=urlencode(query, quote_via=quote)))


def database_name(part: str) -> str:
    """A database name of this run's own: several runs may share one server."""
    return f"forge_test_{os.environ[RUN]}_{part}"


def template_name() -> str:
    """The migrated database that each worker's is copied from."""
    return EMBEDDED_TEMPLATE if os.environ.get(IS_EMBEDDED) else database_name("template")


def _start() -> Servers:
    _sweep_dead_runs()
    servers = Servers(folder=temporary_folder(f"forge-test-{os.getpid()}-"))
    for name in [name for name in os.environ if name.startswith("FORGE_") and name not in _KEPT]:
        del os.environ[name]
    os.environ.update(_SETTINGS)
    os.environ[RUN] = secrets.token_hex(4)
    os.environ[FOLDER] = str(servers.folder)
    os.environ["FORGE_HOME"] = str(servers.folder / "forge-home")  # not the one of a demo that runs beside us
    try:
        superuser_url = _given_postgres(servers) or _embedded_postgres(servers)
        os.environ[SUPERUSER_URL] = superuser_url
        # Not yet a database that exists: tests.plugins.database makes it when the first test asks for one.
        os.environ["DATABASE_URL"] = in_database(superuser_url, database_name("main"), role=APP)
        os.environ["DATABASE_OWNER_URL"] = in_database(superuser_url, database_name("main"), role=OWNER)
        if not os.environ.get("REDIS_URL"):
            servers.valkey = EmbeddedValkey(servers.folder / "valkey", durable=False)
            servers.valkey.start()
            os.environ["REDIS_URL"] = servers.valkey.url
    except BaseException:
        servers.stop()
        raise
    return servers


def _given_postgres(servers: Servers) -> str | None:
    """DATABASE_URL with its roles made, or None where there is none or its role cannot make what tests need."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        return None
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        (is_superuser,) = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if not is_superuser:
            servers.header.append("DATABASE_URL is no superuser's: tests run on an embedded PostgreSQL instead")
            return None
        make_roles(connection)
        servers.header.append(f"PostgreSQL {connection.info.parameter_status('server_version')} from DATABASE_URL")
    return url


def _embedded_postgres(servers: Servers) -> str:
    servers.cache_key = cache.key()
    home = servers.folder / "postgres"
    cache.restore(servers.cache_key, home)
    servers.postgres = EmbeddedPostgres(
        home,
        durable=False,
        # Plans of many partitions look dear: compiling them takes longer than running them over a test's rows.
        settings={"max_connections": "600", "shared_buffers": "128MB", "jit": "off"},
    )
    servers.postgres.start()
    with servers.postgres.connect() as connection:
        _make_login_cheap(connection)
    os.environ[IS_EMBEDDED] = "1"
    return servers.postgres.url("postgres")


def _make_login_cheap(connection: psycopg.Connection) -> None:
    """Hash the password once instead of 4,096 times: a run opens some thousand connections, all as this role."""
    if connection.info.server_version >= 160000:
        connection.execute("SET scram_iterations = 1")
        connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(sql.Literal(connection.info.password)))


def _drop_databases(url: str, run: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"forge_test_{run}_%"])
        for (name,) in names.fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _sweep_dead_runs() -> None:
    """Remove the folders of runs that were killed (their servers ended with them)."""
    for folder in Path(os.environ.get("TMPDIR", "/tmp")).glob("forge-test-*-*"):
        with contextlib.suppress(ValueError, PermissionError):
            try:
                os.kill(int(folder.name.split("-")[2]), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
