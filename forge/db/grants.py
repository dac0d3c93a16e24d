"""What the roles other than the owner may do; `migrate` applies it after every run.

The application reads and writes rows and nothing else: it owns nothing, creates nothing, empties nothing, and what is
append-only it can only read and add to, whatever the triggers say. On partitions nobody gets anything, because
reading and writing through the parent needs no privilege there. Functions are open to all by PostgreSQL's default;
those that a migration closes (REVOKE … FROM PUBLIC) and the application calls are named here.
"""

from collections.abc import Sequence
from typing import LiteralString

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from forge.db.locks import advisory_lock
from forge.db.operations import DETACHED
from forge.db.partitions import LOCK_NAME

READ_ONLY = (
    "audit_auditcheckpoint",
    "audit_auditlane",
    "audit_auditleaf",
    "audit_auditlog",
    "audit_auditnode",
    "audit_auditpublication",
    "django_migrations",
)
"""Tables that only the owner writes: the audit log through its functions, which run as the owner; the sealer is it."""

APPEND_ONLY = (
    "audit_auditverification",
    "costs_costcenterchange",
    "costs_costrevision",
    "workspaces_attributionchange",
    "workspaces_configurationchange",
    "workspaces_decision",
    "workspaces_statechange",
    "workspaces_worklease",
)
"""Tables to which rows are added and in which none is changed."""

DETACHED_READ = ("audit_auditlog",)
"""Tables whose detached months the application reads, to verify them; of the others it sees nothing any more."""

CALLED = ("audit_append", "audit_append_many")
"""Functions that are closed to all others: they write the audit log as its owner."""

JOBS_ROLE = "forge_jobs"
"""Role of the jobs that work across organizations; optional."""


def apply(using: str = "owner") -> list[str]:
    """Grant to the role of DATABASE_URL and to `forge_jobs`, where they are not the owner; returns their names."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_user")
        names = [cursor.fetchone()[0], JOBS_ROLE]
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND rolname <> current_user AND NOT rolsuper", [names]
        )
        roles = sorted(role for (role,) in cursor.fetchall())
    for role in roles:
        grant_to(role, using)
    return roles


def grant_to(role: str, using: str = "owner") -> None:
    """Give `role` exactly what the application needs in the current schema, and take the rest from it."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        advisory_lock(LOCK_NAME, using=using)  # two that change one table's rights or partitions at once would fail
        cursor.execute("SELECT current_schema()")
        names = {"role": sql.Identifier(role), "schema": sql.Identifier(cursor.fetchone()[0])}

        def run(statement: LiteralString, **more: sql.Composable) -> None:
            cursor.execute(sql.SQL(statement).format(**names, **more))

        run("REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}")
        run("GRANT USAGE ON SCHEMA {schema} TO {role}")
        run("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}")
        run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
        for table in _tables(cursor):
            run("GRANT SELECT ON {table} TO {role}", table=sql.Identifier(table))
            if table not in READ_ONLY:
                run("GRANT INSERT ON {table} TO {role}", table=sql.Identifier(table))
            if table not in READ_ONLY + APPEND_ONLY:
                run("GRANT UPDATE, DELETE ON {table} TO {role}", table=sql.Identifier(table))
        for function in _known(cursor, CALLED):
            run("GRANT EXECUTE ON FUNCTION {function} TO {role}", function=sql.Identifier(function))
        _grant_detached(cursor, role)


def _known(cursor: CursorWrapper, functions: Sequence[str]) -> list[str]:
    """Those of the functions that there are: after a migration backwards some are not."""
    cursor.execute(
        "SELECT DISTINCT proname FROM pg_proc"
        " WHERE pronamespace = current_schema()::regnamespace AND proname = ANY(%s)",
        [list(functions)],
    )
    return [name for (name,) in cursor.fetchall()]


def _grant_detached(cursor: CursorWrapper, role: str) -> None:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'p'", [DETACHED]
    )
    names = {"schema": sql.Identifier(DETACHED), "role": sql.Identifier(role)}
    for (table,) in cursor.fetchall():
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
        one = names | {"table": sql.Identifier(table)}
        cursor.execute(sql.SQL("REVOKE ALL ON {schema}.{table} FROM {role}").format(**one))
        if table in DETACHED_READ:
            cursor.execute(sql.SQL("GRANT SELECT ON {schema}.{table} TO {role}").format(**one))


def _tables(cursor: CursorWrapper) -> list[str]:
    """Tables and views of the current schema that are no partition and belong to no extension."""
    cursor.execute(
        """
        SELECT relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
        ORDER BY relname
        """
    )
    return [name for (name,) in cursor.fetchall()]
