"""The test database: migrated once per run as its owner, copied per worker, emptied by one function.

Every connection is the role of its alias (`default` the plain application role, `owner` the owner) from its first
statement on: the role stands in the URL, so threads and subprocesses have it too.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase
from django.utils import timezone
from psycopg import sql
from psycopg.pq import ExecStatus, TransactionStatus

from forge.db import partitions, scope
from forge.db.embedded.postgres import APP, OWNER, create_database, has_database
from forge.db.months import add_months, month_of
from forge.db.operations import DETACHED
from tests.plugins.servers import FOLDER, SUPERUSER_URL, database_name, in_database, template_name

_REFERENCE_SCHEMA = "forge_test_reference"
_KEPT = ("django_migrations", "django_content_type", "auth_permission")


def superuser_url(database: str | None = None) -> str:
    return in_database(os.environ[SUPERUSER_URL], database or connections["default"].settings_dict["NAME"])


def connect_as_superuser(database: str | None = None) -> psycopg.Connection:
    return psycopg.connect(superuser_url(database), autocommit=True, connect_timeout=10)


def create_test_database(worker: str) -> str:
    """Make this worker's database from the migrated one and point every alias and the environment at it."""
    template, name = template_name(), database_name(worker)
    with _one_at_a_time(), connect_as_superuser("postgres") as connection:
        if not has_database(connection, template):
            _make_template(connection, template)
        create_database(connection, name, template=template)
    with connect_as_superuser(name) as own:
        own.execute(
            sql.SQL(_EMPTY).format(
                schema=sql.Identifier(_REFERENCE_SCHEMA), detached=sql.Literal(DETACHED), kept=sql.Literal(list(_KEPT))
            )
        )
    _point_at(name)
    return name


def copied_database(part: str) -> str:
    """A further database as the migrations leave it, for processes of a test's own; to be dropped by its name."""
    name = database_name(f"{part}_{secrets.token_hex(3)}")
    with _one_at_a_time(), connect_as_superuser("postgres") as connection:
        create_database(connection, name, template=template_name())
    with connect_as_superuser(name) as own:
        own.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(_REFERENCE_SCHEMA)))
    return name


def drop_test_database(name: str) -> None:
    connections.close_all()
    for kept in (_emptying, _superusers):
        if name in kept:
            kept.pop(name).close()
    drop_database(name)


def drop_database(name: str) -> None:
    with connect_as_superuser("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def empty_database() -> None:
    """Bring every table back to what the migrations left in it, whatever triggers guard it.

    Deletes instead of TRUNCATE: most tables are empty or small, and a connection that a test forgot cannot block it.
    One statement on a connection that stays open: a new session's first look at all tables costs more than the rest.
    """
    name = connections["default"].settings_dict["NAME"]
    if name not in _emptying or _emptying[name].closed:
        _emptying[name] = connect_as_superuser(name)
        _emptying[name].execute("SET lock_timeout = '10s'")
        # Leaves out foreign keys, append-only guards and the like, but for triggers that are ENABLE ALWAYS.
        _emptying[name].execute("SET session_replication_role = replica")
    _emptying[name].execute(sql.SQL("SELECT {}.empty()").format(sql.Identifier(_REFERENCE_SCHEMA)))


_emptying: dict[str, psycopg.Connection] = {}
"""By database, the connection on which it is emptied."""

_superusers: dict[str, psycopg.Connection] = {}
"""By database, the connection that one test after the other has as `superuser_connection`."""

_AS_AT_THE_START = (
    b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();"
    b" DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES"
)


def rested(connection: psycopg.Connection) -> bool:
    """Bring a session back to what it was when it began; False where it cannot be used any more.

    A new one reads the catalogue of each table that it meets anew, which is most of what a short test costs.
    """
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    return connection.pgconn.exec_(_AS_AT_THE_START).status != ExecStatus.FATAL_ERROR


def _leave_nothing() -> None:
    """End a test that committed: no row of it, and Django's connections as new ones."""
    empty_database()
    for connection in connections.all(initialized_only=True):
        if not _is_as_opened(connection) or not rested(connection.connection):
            connection.close()


def _is_as_opened(connection: BaseDatabaseWrapper) -> bool:
    session = connection.connection
    return (
        session is not None
        and not connection.in_atomic_block
        and not connection.closed_in_transaction
        and session.autocommit
        and session.info.dbname == connection.settings_dict["NAME"]
    )


_EMPTY = """
CREATE OR REPLACE FUNCTION {schema}.empty() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    always text[];
    is_same boolean;
    one record;
BEGIN
    -- Months that a test detached; their months are made again when somebody needs them.
    FOR one IN SELECT oid::regclass AS id FROM pg_class
        WHERE relnamespace = to_regnamespace({detached}) AND relispartition AND relkind = 'r'
    LOOP
        EXECUTE format('DROP TABLE %s', one.id);
    END LOOP;

    SELECT coalesce(array_agg(format('ALTER TABLE %s %%s TRIGGER %I', tgrelid::regclass, tgname)), '{{}}') INTO always
    FROM pg_trigger WHERE tgenabled = 'A' AND NOT tgisinternal;
    FOR i IN 1 .. cardinality(always) LOOP
        EXECUTE format(always[i], 'DISABLE');
    END LOOP;

    -- A table that never had a row has no pages.
    FOR one IN SELECT oid::regclass AS id FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
        AND relname <> ALL ({kept}) AND to_regclass(format('{schema}.%I', relname)) IS NULL
    LOOP
        EXECUTE format('DELETE FROM ONLY %s', one.id);
    END LOOP;

    FOR one IN SELECT r.oid::regclass AS id, p.oid::regclass AS public_id,
            (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = p.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
        FROM pg_class r JOIN pg_class p ON p.relname = r.relname AND p.relnamespace = 'public'::regnamespace
        WHERE r.relnamespace = '{schema}'::regnamespace AND r.relkind = 'r'
    LOOP
        EXECUTE format(
            'SELECT NOT EXISTS ((SELECT %1$s FROM %2$s EXCEPT ALL SELECT %1$s FROM %3$s)'
            ' UNION ALL (SELECT %1$s FROM %3$s EXCEPT ALL SELECT %1$s FROM %2$s))',
            one.columns, one.public_id, one.id
        ) INTO is_same;
        CONTINUE WHEN is_same;
        EXECUTE format('DELETE FROM %s', one.public_id);
        EXECUTE format('INSERT INTO %2$s (%1$s) OVERRIDING SYSTEM VALUE SELECT %1$s FROM %3$s',
                       one.columns, one.public_id, one.id);
    END LOOP;

    FOR i IN 1 .. cardinality(always) LOOP
        EXECUTE format(always[i], 'ENABLE ALWAYS');
    END LOOP;
END
$$"""


def _make_template(connection: psycopg.Connection, template: str) -> None:
    # Under another name until it is whole: what has the template's name is copied, and kept for later runs.
    name = database_name("fresh")
    create_database(connection, name)
    _point_at(name)
    call_command("migrate", database="owner", verbosity=0, interactive=False)
    now = timezone.now()
    for table in ("costs_costrecord", "workspaces_usagesample"):  # of hours and days ago, on a month's first
        partitions.ensure(table, add_months(month_of(now), -1), now)
    connections.close_all()
    with connect_as_superuser(name) as own:
        own.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_REFERENCE_SCHEMA)))
        for table in _filled_tables(own):
            if table not in _KEPT:
                own.execute(
                    sql.SQL("CREATE TABLE {}.{} AS TABLE public.{}").format(
                        sql.Identifier(_REFERENCE_SCHEMA), sql.Identifier(table), sql.Identifier(table)
                    )
                )
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(template)))


def _tables(connection: psycopg.Connection, schema: str) -> list[str]:
    """The tables of a schema without the partitions, which are reached through their parents."""
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p')"
        " AND NOT relispartition ORDER BY relname",
        [schema],
    )
    return [name for (name,) in rows.fetchall()]


def _filled_tables(connection: psycopg.Connection) -> list[str]:
    tables = _tables(connection, "public")
    if not tables:
        return []
    asked = sql.SQL(", ").join(sql.SQL("EXISTS (SELECT FROM public.{})").format(sql.Identifier(t)) for t in tables)
    answers = connection.execute(sql.SQL("SELECT ARRAY[{}]").format(asked)).fetchone()[0]
    return [table for table, is_filled in zip(tables, answers, strict=True) if is_filled]


def _point_at(name: str) -> None:
    for alias, role in (("default", APP), ("owner", OWNER)):
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name
        variable = "DATABASE_URL" if alias == "default" else "DATABASE_OWNER_URL"
        os.environ[variable] = in_database(os.environ[SUPERUSER_URL], name, role=role)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The workers of a run take turns: the first makes the template, and CREATE DATABASE wants its template idle."""
    with (Path(os.environ[FOLDER]) / "template.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: object, worker_id: str = "main"
) -> Iterator[None]:
    """Replaces pytest-django's: our template instead of Django's create, our emptying instead of its flush."""
    scope.process_is_system()  # what a test does by itself; requests and operations have their own scope
    flush, reload = TransactionTestCase._fixture_teardown, TransactionTestCase._should_reload_connections
    with django_db_blocker.unblock():
        name = create_test_database(os.environ.get("PYTEST_XDIST_WORKER", "main"))
    TransactionTestCase._fixture_teardown = lambda test_case: _leave_nothing()
    TransactionTestCase._should_reload_connections = lambda test_case: False
    try:
        yield
    finally:
        TransactionTestCase._fixture_teardown = flush
        TransactionTestCase._should_reload_connections = reload
        with django_db_blocker.unblock():
            drop_test_database(name)


@pytest.fixture
def superuser_connection(django_db_setup: None) -> Iterator[psycopg.Connection]:
    """A superuser's connection to the test database, for attacks; each statement commits by itself."""
    name = connections["default"].settings_dict["NAME"]
    if name not in _superusers or not rested(_superusers[name]):
        _superusers[name] = connect_as_superuser(name)
        _superusers[name].prepare_threshold = None  # what it prepared would outlive the tables
    yield _superusers[name]
    if not rested(_superusers[name]):
        _superusers.pop(name).close()


@pytest.fixture
def make_app_connection(django_db_setup: None) -> Iterator[Callable[..., psycopg.Connection]]:
    """Makes real further connections as the application role (or `role`), closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(*, role: str = APP, autocommit: bool = False) -> psycopg.Connection:
            url = in_database(os.environ[SUPERUSER_URL], connections["default"].settings_dict["NAME"], role=role)
            made = stack.enter_context(contextlib.closing(psycopg.connect(url, autocommit=True, connect_timeout=10)))
            made.execute("SELECT set_config(%s, %s, false)", [scope.SETTING, scope.SYSTEM])
            made.autocommit = autocommit
            return made

        yield make
