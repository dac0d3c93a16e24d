"""Months on their way out: detached from their table, kept in `forge_detached`, dropped at last.

A month is detached CONCURRENTLY, which keeps neither readers nor writers waiting, and then becomes a partition of its
table's twin in `forge_detached` (operation `DetachedMonths`) in one transaction. Both may be interrupted anywhere: the
next call goes on from what the catalogue says. Only the owner can do either, and neither decides anything: who calls
has recorded the decision first (ArchivedMonth).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import Enum
from functools import partial

from django.db import connections
from django.db.backends.utils import CursorWrapper

from forge.db import partitions
from forge.db.locks import advisory_key
from forge.db.months import add_months
from forge.db.operations import DETACHED
from forge.db.partitions import Partition, PartitionError

LOCK_NAME = "forge.db.detached"


class Place(Enum):
    """Where the rows of a month are."""

    ATTACHED = "attached"
    BETWEEN = "between"
    DETACHED = "detached"
    NOWHERE = "nowhere"


def twin(table: str) -> str:
    """The partitioned table that the detached months of `table` are partitions of."""
    return f"{DETACHED}.{table}"


def months_of(table: str, using: str = "owner") -> list[Partition]:
    """The detached months of `table`, oldest first."""
    return partitions.attached(twin(table), using)


def place_of(table: str, month: date, partition: str, using: str = "owner") -> Place:
    """Where the month is that `partition` held: BETWEEN after an interruption, until detach() is called again."""
    if holder(partitions.attached(table, using), month):
        return Place.ATTACHED
    if holder(months_of(table, using), month):
        return Place.DETACHED
    with connections[using].cursor() as cursor:
        return Place.NOWHERE if _oid(cursor, partition) is None else Place.BETWEEN


def detach(table: str, month: date, partition: str, *, using: str = "owner") -> None:
    """Bring the month from `table` to its twin; nothing happens when it is there already.

    Call it outside any transaction. Raises PartitionError when the partition does not hold just this month, is nowhere,
    or another runner is detaching, and OperationalError when a lock was not to be had in LOCK_ATTEMPTS times
    LOCK_SECONDS: call it again.
    """
    with _one_runner(using):
        _leave(table, month, partition, using)
        if place_of(table, month, partition, using) is Place.BETWEEN:
            partitions.alone(using, partial(_join_twin, table, month, partition, using))


def drop(table: str, month: date, partition: str, *, check: Callable[[], None], using: str = "owner") -> bool:
    """Drop a detached month; False when it is gone already. Nothing else is ever dropped here.

    `check` runs in the same transaction before, under whatever locks it takes, and raises to prevent it.
    """
    return partitions.alone(using, partial(_drop, table, month, partition, check, using))


@contextmanager
def _one_runner(using: str) -> Iterator[None]:
    """Hold the detachers' lock of the session; never wait for it, because FINALIZE waits for those who wait."""
    key = [advisory_key(LOCK_NAME)]
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", key)
        if not cursor.fetchone()[0]:
            raise PartitionError("Another runner is detaching a month.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", key)


@partitions.patiently
def _leave(table: str, month: date, partition: str, using: str) -> None:
    """Take the partition out of `table`; each attempt looks anew, because one that failed may have begun it."""
    place = place_of(table, month, partition, using)
    if place is Place.NOWHERE:
        raise PartitionError(f"{partition}, which held {month:%Y-%m} of {table}, is neither attached nor detached.")
    if place is Place.ATTACHED:
        held = holder(partitions.attached(table, using), month)
        if held is None or (held.name, held.first, held.end) != (partition, month, add_months(month, 1)):
            raise PartitionError(f"{partition} does not hold just {month:%Y-%m} of {table}.")
        _alter(using, f'ALTER TABLE "{table}" DETACH PARTITION "{partition}" CONCURRENTLY')
    elif place is Place.BETWEEN and _is_pending(table, partition, using):
        _alter(using, f'ALTER TABLE "{table}" DETACH PARTITION "{partition}" FINALIZE')


def _join_twin(table: str, month: date, partition: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        cursor.execute(f'ALTER TABLE "{partition}" SET SCHEMA {DETACHED}')
        # The CHECK that DETACH CONCURRENTLY left says that every row is within the bounds, so none is read here.
        cursor.execute(
            f'ALTER TABLE {DETACHED}."{table}" ATTACH PARTITION {DETACHED}."{partition}" '
            f"FOR VALUES FROM ('{month} 00:00:00+00') TO ('{add_months(month, 1)} 00:00:00+00')"
        )
    partitions.refuse_truncate(twin(table), partition, using)
    held = holder(months_of(table, using), month)
    if held is None or (held.first, held.end) != (month, add_months(month, 1)):
        raise PartitionError(f"{partition} was to hold {month:%Y-%m} in UTC, but the catalogue says otherwise.")


def _drop(table: str, month: date, partition: str, check: Callable[[], None], using: str) -> bool:
    check()
    held = holder(months_of(table, using), month)
    if held is None:
        return False
    if held.name != partition:
        raise PartitionError(f"{month:%Y-%m} of {table} is held by {held.name}, not by {partition}.")
    with connections[using].cursor() as cursor:
        cursor.execute(f'DROP TABLE {DETACHED}."{partition}"')
    return True


def holder(present: Sequence[Partition], month: date) -> Partition | None:
    """The partition that holds the month."""
    for partition in present:
        if partition.first and partition.end and partition.first <= month < partition.end:
            return partition
    return None


def _is_pending(table: str, partition: str, using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = %s::regclass AND inhrelid = %s AND"
            " inhdetachpending)",
            [table, _oid(cursor, partition)],
        )
        return cursor.fetchone()[0]


def _oid(cursor: CursorWrapper, partition: str) -> int | None:
    """The table of this name in the current schema, in which attached months are."""
    cursor.execute(
        "SELECT oid FROM pg_class WHERE relname = %s AND relnamespace = current_schema()::regnamespace", [partition]
    )
    row = cursor.fetchone()
    return row and row[0]


def _alter(using: str, statement: str) -> None:
    """Run a statement that must stand outside any transaction, waiting LOCK_SECONDS for each lock."""
    connection = connections[using]
    if connection.in_atomic_block:
        raise RuntimeError("A month is never detached inside a transaction.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(partitions.LOCK_SECONDS * 1000)}ms"])
        try:
            cursor.execute(statement)
        finally:
            cursor.execute("RESET lock_timeout")
