"""`migrate` leaves a database that can be worked in, and `migrate zero` one with nothing of ours."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connections

from forge.db import partitions
from forge.db.embedded.postgres import create_database
from forge.db.months import add_months, month_of
from tests.forge.db.conftest import owner_query
from tests.plugins.database import connect_as_superuser, copied_database, drop_database
from tests.plugins.servers import database_name

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

CATALOGUES = {
    "schema": "SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_(toast|temp)'",
    "relation": "SELECT n.nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace",
    "type": "SELECT n.nspname, typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace",
    "function": "SELECT n.nspname, proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace",
    "operator": "SELECT n.nspname, oprname FROM pg_operator JOIN pg_namespace n ON n.oid = oprnamespace",
    "collation": "SELECT n.nspname, collname FROM pg_collation JOIN pg_namespace n ON n.oid = collnamespace",
    "trigger": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
    "constraint": "SELECT conname FROM pg_constraint",
    "policy": "SELECT polname FROM pg_policy",
    "event trigger": "SELECT evtname FROM pg_event_trigger",
    "extension": "SELECT extname FROM pg_extension",
}


@pytest.fixture
def empty_database(transactional_db) -> Iterator[str]:
    """A new database without any table, to which both aliases lead during the test."""
    name, before = database_name(f"empty_{secrets.token_hex(3)}"), connections["default"].settings_dict["NAME"]
    with connect_as_superuser("postgres") as connection:
        create_database(connection, name)
    _lead_to(name)
    yield name
    _lead_to(before)
    drop_database(name)


@pytest.fixture
def migrated_database(transactional_db) -> Iterator[str]:
    """A new database that `migrate` has filled already, to which both aliases lead during the test."""
    name, before = copied_database("migrated"), connections["default"].settings_dict["NAME"]
    _lead_to(name)
    yield name
    _lead_to(before)
    drop_database(name)


def _lead_to(name: str) -> None:
    for alias in ("default", "owner"):
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments, verbosity=0, interactive=False)


def objects() -> set[tuple]:
    """Everything in the catalogues by kind and name, but for the temporary and the generated."""
    return {
        (kind, *row)
        for kind, query in CATALOGUES.items()
        for row in owner_query(query)
        if not any(str(part).startswith("pg_toast") for part in row)
    }


@pytest.fixture
def empty(empty_database) -> set[tuple]:
    """What is in the catalogues of an empty database."""
    return objects()


@pytest.mark.soak
@pytest.mark.whole
def test_everything_migrates_forwards_back_to_zero_and_forwards_again(empty, migrated_database, scale):
    """Forwards again, which is the longest part, in `make soak` only: it begins from what an empty database has."""
    full = objects()
    _months_are_there()
    # What most stands on goes first and takes what stands on it along: fewer runs of migrate.
    while applied := owner_query(
        "SELECT app FROM django_migrations ORDER BY app NOT IN ('contenttypes', 'db') LIMIT 1"
    ):
        migrate(applied[0][0], "zero")
    left = {item for item in objects() - empty if "django_migrations" not in str(item)}
    assert left == set()
    if not scale(10, 0):
        return
    migrate()
    assert objects() == {item for item in full if not any(_of_the_month_before() in str(name) for name in item)}
    _months_are_there()


def _of_the_month_before() -> str:
    """What names end in, or hold, of partitions that the tests' database has and `migrate` alone does not make."""
    return f"_{add_months(month_of(datetime.now(UTC)), -1):%Y_%m}"


def _months_are_there() -> None:
    """This month and six ahead of every partitioned table."""
    reports = partitions.check(datetime.now(UTC))
    assert [report.table for report in reports] == list(partitions.TABLES)
    assert {(report.months_ahead, report.faults) for report in reports} == {(6, ())}


def test_every_partitioned_table_refuses_truncate_on_itself_and_on_each_partition():
    relations = owner_query(
        "SELECT relid::regclass::text FROM unnest(%s::text[]) AS name, pg_partition_tree(name)",
        [list(partitions.TABLES)],
    )
    guarded = owner_query("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'forge_refuse_truncate'")
    assert set(relations) <= set(guarded)


def test_the_plan_of_a_migration_changes_nothing(empty_database, capsys):
    call_command("migrate", "--plan")
    assert owner_query("SELECT 1 FROM pg_class WHERE relname = ANY(%s)", [list(partitions.TABLES)]) == []


def test_migrating_again_says_that_nothing_was_missing(migrated_database, capsys):
    call_command("migrate", interactive=False)
    out = capsys.readouterr().out
    assert "No migrations to apply" in out
    assert "Partitions made of audit_auditlog: none was missing" in out
    assert "Granted to: forge_app, forge_jobs" in out


def test_migrations_say_all_that_the_models_say():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
