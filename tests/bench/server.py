"""The servers of a benchmark run: as durable as the demo's, with a database that is made and dropped here."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import django
import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from forge.db import scope
from forge.db.embedded import EmbeddedPostgres, EmbeddedValkey
from forge.db.embedded.postgres import APP, OWNER, create_database, make_roles
from forge.demo.home import Home
from tests.plugins.servers import in_database

_SETTINGS = {
    "DEBUG": "false",
    "SECRET_KEY": "a-secret-key-for-benchmarks-that-signs-nothing-of-value",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECURE_SSL_REDIRECT": "false",
    "DJANGO_SETTINGS_MODULE": "forge.settings",
}


@dataclass(frozen=True)
class Servers:
    """What runs, and the migrated database of which each benchmark gets a copy."""

    superuser_url: str
    told: str
    template: str

    @contextlib.contextmanager
    def database(self) -> Iterator[None]:
        """A fresh migrated database, at which Django and the environment of children point; dropped afterwards."""
        name = f"{self.template}_copy"
        connections.close_all()
        with _database(self.superuser_url, name, template=self.template):
            _point_at(self.superuser_url, name)
            yield
            connections.close_all()


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start what the environment does not give, set Django up and migrate.

    With DATABASE_URL of a superuser that server is used, else an embedded one with fsync on and the demo's settings.
    """
    folder = _folder()
    try:
        with contextlib.ExitStack() as stack:
            os.environ.update(_SETTINGS)
            superuser_url, told = _postgres(folder, stack)
            if not os.environ.get("REDIS_URL"):
                valkey = EmbeddedValkey(folder / "valkey")
                stack.callback(valkey.stop)
                valkey.start()
                os.environ["REDIS_URL"] = valkey.url
            template = f"forge_bench_{secrets.token_hex(4)}"
            stack.enter_context(_database(superuser_url, template))
            _set_environment(superuser_url, template)
            django.setup()
            scope.process_is_system()
            call_command("migrate", verbosity=0, interactive=False)
            yield Servers(superuser_url, told, template)
            connections.close_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    # Beside the demo's data: on a disk, where a temporary folder may lie in memory and make fsync free.
    beside = Home().postgres.parent
    beside.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=beside))
    folder.chmod(0o711)
    return folder


def _postgres(folder: Path, stack: contextlib.ExitStack) -> tuple[str, str]:
    if url := os.environ.get("DATABASE_URL"):
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            asked = connection.execute("SELECT rolsuper, version() FROM pg_roles WHERE rolname = current_user")
            is_superuser, version = asked.fetchone()
            if is_superuser:
                make_roles(connection)
                return url, f"{version.split(' on ')[0]} from DATABASE_URL"
    server = EmbeddedPostgres(folder / "postgres")
    stack.callback(server.stop)
    server.start()
    with server.connect() as connection:
        version = connection.info.parameter_status("server_version")
    return server.url("postgres"), f"embedded PostgreSQL {version}, fsync on"


@contextlib.contextmanager
def _database(superuser_url: str, name: str, *, template: str | None = None) -> Iterator[None]:
    with psycopg.connect(superuser_url, autocommit=True, connect_timeout=10) as connection:
        create_database(connection, name, template=template)
    try:
        yield
    finally:
        with psycopg.connect(superuser_url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _set_environment(superuser_url: str, name: str) -> None:
    os.environ["DATABASE_URL"] = in_database(superuser_url, name, role=APP)
    os.environ["DATABASE_OWNER_URL"] = in_database(superuser_url, name, role=OWNER)


def _point_at(superuser_url: str, name: str) -> None:
    _set_environment(superuser_url, name)
    for alias in ("default", "owner"):
        connections[alias].settings_dict["NAME"] = name
