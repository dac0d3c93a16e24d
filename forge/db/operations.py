"""Migration operations for tables that are partitioned by month and for tables that only grow.

Each reverses truly: what it created is gone, on the table and on every partition. A migration that uses one depends
on ("db", "0001_initial"), which makes the trigger functions.
"""

from collections.abc import Sequence

from django.db.migrations.operations import RunSQL
from django.db.migrations.operations.base import Operation

APPEND_ONLY_SQLSTATE = "RF001"
"""SQLSTATE of a refused UPDATE, DELETE or TRUNCATE (class RF: of our own, outside what the SQL standard reserves)."""

ROW_TRIGGER = "forge_append_only"
TRUNCATE_TRIGGER = "forge_refuse_truncate"
DETACHED = "forge_detached"
"""Schema of the months that left their tables."""

# A statement trigger is not cloned to partitions, so it is put on each; partitions.ensure gives it to later ones.
_TRUNCATE_FORWARD = """
DO $body$
DECLARE relation regclass;
BEGIN
    FOR relation IN SELECT '{table}'::regclass UNION SELECT relid FROM pg_partition_tree('{table}') LOOP
        EXECUTE format(
            'CREATE TRIGGER {trigger} BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION forge_refuse_truncate()',
            relation
        );
    END LOOP;
END
$body$;
"""
_TRUNCATE_REVERSE = """
DO $body$
DECLARE relation regclass;
BEGIN
    FOR relation IN SELECT '{table}'::regclass UNION SELECT relid FROM pg_partition_tree('{table}') LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS {trigger} ON %s', relation);
    END LOOP;
END
$body$;
"""


class _TableSQL(RunSQL):
    """RunSQL that a squashed migration writes back with the arguments it was made of, not with its SQL."""

    def deconstruct(self) -> tuple[str, Sequence, dict]:
        return Operation.deconstruct(self)


class PartitionedTable(_TableSQL):
    """Creates `table` with the column and constraint text `columns`, partitioned by range of the timestamptz `key`.

    No partition is made here and never a DEFAULT one: name the table in `forge.db.partitions.TABLES`, and `migrate`
    makes its months. A primary key or unique constraint must contain `key` (PostgreSQL refuses others); take
    `bigserial` for an id. Storage parameters belong to partitions: `forge.db.partitions.STORAGE`. Pass the model's
    CreateModel as `state_operations`; AddIndex may follow as an ordinary operation.
    """

    def __init__(self, table: str, *, key: str, columns: str, state_operations: Sequence[Operation] = ()) -> None:
        self.table = table
        super().__init__(
            sql=f'CREATE TABLE "{table}" (\n{columns.strip().rstrip(",")}\n) PARTITION BY RANGE ("{key}");',
            reverse_sql=f'DROP TABLE "{table}";',
            state_operations=list(state_operations),
        )

    def describe(self) -> str:
        return f"Create table {self.table}, partitioned by month"


class DetachedMonths(_TableSQL):
    """Gives a partitioned table its twin in `forge_detached`, which its months join when they leave the table.

    Detached months are append-only whatever the table is, but for erasure (`allow_update_of`, as in AppendOnly). A
    migration that changes the columns of `table` changes those of the twin too. The migration depends on
    ("db", "0002_archived_months").
    """

    def __init__(self, table: str, *, key: str, allow_update_of: Sequence[str] = ()) -> None:
        self.table = table
        arguments = ", ".join(f"'{column}'" for column in allow_update_of)
        super().__init__(
            sql=f"""
CREATE TABLE {DETACHED}."{table}" (LIKE "{table}" INCLUDING CONSTRAINTS INCLUDING GENERATED)
    PARTITION BY RANGE ("{key}");
CREATE TRIGGER {ROW_TRIGGER} BEFORE UPDATE OR DELETE ON {DETACHED}."{table}"
    FOR EACH ROW EXECUTE FUNCTION forge_append_only({arguments});
CREATE TRIGGER {TRUNCATE_TRIGGER} BEFORE TRUNCATE ON {DETACHED}."{table}"
    FOR EACH STATEMENT EXECUTE FUNCTION forge_refuse_truncate();
""",
            reverse_sql=f'DROP TABLE {DETACHED}."{table}";',
        )

    def describe(self) -> str:
        return f"Let months of {self.table} be detached"


class RefuseTruncate(_TableSQL):
    """Refuses TRUNCATE of `table` and of each of its partitions."""

    def __init__(self, table: str) -> None:
        self.table = table
        names = {"table": table, "trigger": TRUNCATE_TRIGGER}
        super().__init__(sql=_TRUNCATE_FORWARD.format(**names), reverse_sql=_TRUNCATE_REVERSE.format(**names))

    def describe(self) -> str:
        return f"Refuse TRUNCATE of {self.table}"


class AppendOnly(_TableSQL):
    """Refuses UPDATE, DELETE and TRUNCATE of `table` and of each of its partitions with SQLSTATE RF001.

    One UPDATE passes: columns named in `allow_update_of` set to NULL with all else byte for byte as it was (the
    erasure of personal values). TRUNCATE is included: no RefuseTruncate beside it.
    """

    def __init__(self, table: str, allow_update_of: Sequence[str] = ()) -> None:
        self.table = table
        arguments = ", ".join(f"'{column}'" for column in allow_update_of)
        names = {"table": table, "trigger": TRUNCATE_TRIGGER}
        super().__init__(
            sql=f"""
CREATE TRIGGER {ROW_TRIGGER} BEFORE UPDATE OR DELETE ON "{table}"
FOR EACH ROW EXECUTE FUNCTION forge_append_only({arguments});
"""
            + _TRUNCATE_FORWARD.format(**names),
            reverse_sql=_TRUNCATE_REVERSE.format(**names) + f'DROP TRIGGER {ROW_TRIGGER} ON "{table}";',
        )

    def describe(self) -> str:
        return f"Make {self.table} append-only"
