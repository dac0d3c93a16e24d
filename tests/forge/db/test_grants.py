"""The application may read and write rows, and nothing that would get it past triggers, partitions or the schema."""

import psycopg
import pytest
from django.core.management import call_command

from forge.db import grants, partitions
from forge.db.embedded.postgres import APP, JOBS
from tests.forge.db.conftest import owner_query

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

RIGHTS = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
ALL_ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def rights(role: str, table: str) -> set[str]:
    """What `role` itself was granted, without what it may have as a member of another role."""
    rows = owner_query(
        "SELECT privilege_type FROM pg_class, aclexplode(relacl) WHERE oid = %s::regclass AND grantee = %s::regrole",
        [table, role],
    )
    return {privilege for (privilege,) in rows}


def tables(*, partitions: bool) -> list[str]:
    rows = owner_query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND relispartition = %s",
        [partitions],
    )
    return [name for (name,) in rows]


@pytest.mark.parametrize("role", [APP, JOBS])
def test_a_role_may_change_the_rows_of_every_table_but_the_guarded_ones(role):
    found = {table: rights(role, table) for table in tables(partitions=False)}
    expected = dict.fromkeys(found, ALL_ROWS)
    expected |= {table: {"SELECT", "INSERT"} for table in grants.APPEND_ONLY}
    expected |= {table: {"SELECT"} for table in grants.READ_ONLY}
    assert found == expected


@pytest.mark.parametrize("role", [APP, JOBS])
def test_a_role_may_do_nothing_on_a_partition_itself(role):
    found = tables(partitions=True)
    assert {name.rsplit("_", 2)[0] for name in found} == set(partitions.TABLES)
    assert {table: rights(role, table) for table in found} == {table: set() for table in found}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE SCHEMA mine",
        "ALTER TABLE audit_auditlog DISABLE TRIGGER ALL",
        "DROP TABLE audit_auditlog",
        "TRUNCATE audit_auditlog",
        "UPDATE audit_auditlog SET result = 'SUCCESS'",
        "DELETE FROM audit_auditlog",
        "INSERT INTO audit_auditlane (lane) VALUES (256)",
        "UPDATE audit_auditlane SET lane_seq = 0",
        "UPDATE workspaces_statechange SET reason = ''",
        "DELETE FROM workspaces_statechange",
        "DELETE FROM django_migrations",
        "TRUNCATE db_jobrun",
    ],
)
def test_the_application_is_refused_what_it_has_no_business_doing(make_app_connection, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        make_app_connection().execute(statement)


def test_granting_takes_back_what_somebody_granted_beyond(make_app_connection):
    owner_query(f"GRANT ALL ON audit_auditlog, workspaces_statechange TO {APP}")
    owner_query(f"GRANT CREATE ON SCHEMA public TO {APP}, PUBLIC")
    assert grants.apply() == [APP, JOBS]
    assert rights(APP, "audit_auditlog") == {"SELECT"}
    assert rights(APP, "workspaces_statechange") == {"SELECT", "INSERT"}
    assert owner_query("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [APP]) == [(False,)]


def test_migrate_grants_on_tables_that_were_not_there_before(make_app_connection):
    owner_query("CREATE TABLE test_new (id bigserial, note text)")
    try:
        call_command("migrate", verbosity=0)
        connection = make_app_connection(autocommit=True)
        connection.execute("INSERT INTO test_new (note) VALUES ('x')")
        assert connection.execute("SELECT id FROM test_new").fetchall() == [(1,)]
    finally:
        owner_query("DROP TABLE test_new")


def test_a_function_that_a_migration_closed_stays_closed():
    owner_query("CREATE FUNCTION test_closed() RETURNS int LANGUAGE sql RETURN 1")
    owner_query("REVOKE ALL ON FUNCTION test_closed() FROM PUBLIC")
    try:
        grants.apply()
        assert owner_query("SELECT has_function_privilege(%s, 'test_closed()', 'EXECUTE')", [APP]) == [(False,)]
    finally:
        owner_query("DROP FUNCTION test_closed()")


@pytest.mark.parametrize("function", grants.CALLED)
def test_only_the_applications_roles_may_write_into_the_log(function):
    """Whoever else may connect could fill it otherwise."""
    found = owner_query(
        "SELECT role, has_function_privilege(role, oid, 'EXECUTE') FROM pg_proc, unnest(%s::text[]) AS role"
        " WHERE proname = %s",
        [[APP, JOBS, "public"], function],
    )
    assert dict(found) == {APP: True, JOBS: True, "public": False}
