"""Ways in which the log cannot be written, each made by a superuser and mended again.

A full disk is the error that PostgreSQL raises for it (SQLSTATE 53100), raised where the row is inserted: a file system
that is really full takes root.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAULTS = {
    "the function is not ours to call": (
        "REVOKE EXECUTE ON FUNCTION {append} FROM forge_app",
        "GRANT EXECUTE ON FUNCTION {append} TO forge_app",
    ),
    "the owner may not insert": (
        "REVOKE INSERT ON audit_auditlog FROM forge_owner",
        "GRANT INSERT ON audit_auditlog TO forge_owner",
    ),
    "the month is missing": (
        "ALTER TABLE audit_auditlog DETACH PARTITION {month}",
        "ALTER TABLE audit_auditlog ATTACH PARTITION {month} FOR VALUES FROM ('{first}') TO ('{end}')",
    ),
    "no head is left": (
        "CREATE TABLE forge_test_heads AS TABLE audit_auditlane; DELETE FROM audit_auditlane",
        "INSERT INTO audit_auditlane TABLE forge_test_heads; DROP TABLE forge_test_heads",
    ),
    "the disk is full": (
        """
        CREATE FUNCTION forge_test_full() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
            RAISE 'could not extend file "base/5/16999": No space left on device' USING ERRCODE = '53100';
        END$$;
        CREATE TRIGGER forge_test_full BEFORE INSERT ON audit_auditlog EXECUTE FUNCTION forge_test_full();
        ALTER TABLE audit_auditlog ENABLE ALWAYS TRIGGER forge_test_full
        """,
        "DROP TRIGGER forge_test_full ON audit_auditlog; DROP FUNCTION forge_test_full()",
    ),
}


@contextmanager
def broken(superuser: Callable, fault: str) -> Iterator[None]:
    """The log cannot be written in the block; `superuser` runs SQL past all triggers."""
    append, month, first, end = superuser(
        "SELECT oid::regprocedure::text, 'audit_auditlog_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'),"
        " date_trunc('month', now(), 'UTC'), date_trunc('month', now(), 'UTC') + interval '1 month'"
        " FROM pg_proc WHERE proname = 'audit_append'"
    ).fetchone()
    facts = {"append": append, "month": month, "first": first.isoformat(), "end": end.isoformat()}
    breaks, mends = (part.format(**facts) for part in FAULTS[fault])
    superuser(breaks)
    try:
        yield
    finally:
        superuser(mends)
