"""Monthly partitions: made ahead of time, without holes, with bounds that are UTC whatever the session says.

A month is attached, not created in place: ATTACH takes SHARE UPDATE EXCLUSIVE on the parent, which lets readers and
writers pass, where CREATE TABLE … PARTITION OF stops both. There is no DEFAULT partition: a row in it would block its
month. A missing month refuses the insert, and the next run makes it.

A month that was archived (forge.db.detached) is not missing and never made again.

Nobody but the owner gets privileges on a partition: reading and writing through the parent needs none, and what is
not granted cannot be used to pass the parent's triggers and policies.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, OperationalError, connections, transaction
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from forge.db import policies
from forge.db.locks import advisory_lock, lock_timeout
from forge.db.models import ArchivedMonth
from forge.db.months import add_months, month_of, months
from forge.db.operations import DETACHED, TRUNCATE_TRIGGER

TABLES = {"audit_auditlog": "timestamp", "costs_costrecord": "period_start", "workspaces_usagesample": "at"}
"""Partitioned table → its key, a timestamptz."""

STORAGE = {"costs_costrecord": "fillfactor = 70"}
"""Storage parameters of each partition; PostgreSQL refuses them on the parent."""

MONTHS_AHEAD = 6
LEAST_MONTHS_AHEAD = 3
"""Fewer whole months ahead than this is an alarm."""

MOST_MONTHS = 240
"""More new months than this in one call are taken for a mistake."""

LOCK_SECONDS = 3.0
LOCK_ATTEMPTS = 5
LOCK_NAME = "forge.db.partitions"

T = TypeVar("T")


class PartitionError(DatabaseError):
    """The partitions are not as they must be; the message says which and why."""


@dataclass(frozen=True)
class Partition:
    """An attached partition that holds [first, end); each is None where it is not the start of a month in UTC."""

    name: str
    bounds: str
    first: date | None
    end: date | None
    refuses_truncate: bool = True


@dataclass(frozen=True)
class Report:
    """The months of one table: `last` is its last month, `months_ahead` counts those after the current one."""

    table: str
    partitions: int
    first: date | None
    last: date | None
    months_ahead: int
    faults: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        return self.months_ahead < LEAST_MONTHS_AHEAD


def name_of(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


def existing_tables(using: str = "owner") -> list[str]:
    """The tables of TABLES that this database has, partitioned: all, once everything is migrated."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) name) "
            "AND relkind = 'p' ORDER BY relname",
            [list(TABLES)],
        )
        return [name for (name,) in cursor.fetchall()]


def attached(table: str, using: str = "owner") -> list[Partition]:
    """The partitions of `table` in the order of their bounds, read back from the catalogue in any session time zone.

    One that is being detached is none any more, as it is for the rows that are read through the table.
    `refuses_truncate` is true as well where the parent itself may be truncated.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            WITH child AS (
                SELECT oid, relname, pg_get_expr(relpartbound, oid) AS bounds
                FROM pg_class JOIN pg_inherits ON oid = inhrelid
                WHERE inhparent = %(table)s::regclass AND NOT inhdetachpending
            ), bound AS MATERIALIZED (
                SELECT oid, relname, bounds,
                       substring(bounds FROM $$FROM \\('([^']+)'\\)$$)::timestamptz AS lower,
                       substring(bounds FROM $$TO \\('([^']+)'\\)$$)::timestamptz AS upper
                FROM child
            )
            SELECT relname, bounds,
                   CASE WHEN lower = date_trunc('month', lower, 'UTC') AND isfinite(lower)
                        THEN to_char(lower AT TIME ZONE 'UTC', 'YYYY-MM-DD') END,
                   CASE WHEN upper = date_trunc('month', upper, 'UTC') AND isfinite(upper)
                        THEN to_char(upper AT TIME ZONE 'UTC', 'YYYY-MM-DD') END,
                   EXISTS (SELECT FROM pg_trigger WHERE tgrelid = bound.oid AND tgname = %(trigger)s)
                   OR NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND tgname = %(trigger)s)
            FROM bound ORDER BY lower NULLS LAST, relname
            """,
            {"table": table, "trigger": TRUNCATE_TRIGGER},
        )
        return [
            Partition(name, bounds, first and date.fromisoformat(first), end and date.fromisoformat(end), refuses)
            for name, bounds, first, end, refuses in cursor.fetchall()
        ]


def archived(table: str, using: str = "owner") -> set[date]:
    """The months of `table` that have left it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NULL", [ArchivedMonth._meta.db_table])
        if cursor.fetchone()[0]:  # while this room's migrations are taken back
            return set()
    return set(ArchivedMonth.objects.using(using).filter(table=table).values_list("month", flat=True))


def missing(
    partitions: Sequence[Partition], first: date, last: date, archived: Collection[date] = frozenset()
) -> list[date]:
    """The months from `first` to `last` without a partition, and those between this range and the partitions.

    Those in `archived` are not missing.
    """
    covered = set(_covered(partitions))
    wanted = {month_of(first), month_of(last)} | covered
    return [month for month in months(min(wanted), max(wanted)) if month not in covered and month not in archived]


def ensure(table: str, first: date, last: date, *, using: str = "owner") -> list[str]:
    """Make the partitions of `table` for every month from `first` to `last`; return the names of those made.

    Holes between these months and the existing ones are filled too, so months are always contiguous, but for those
    that were archived: they are left out, and a row that comes too late for its month is refused. Each month is a
    transaction of its own: runners may overlap, and an interrupted run keeps what it made. When nothing is missing,
    nothing is locked. Call it before a transaction begins, never inside one (RuntimeError). Raises ValueError for a
    reversed or absurd range and OperationalError when the lock was not to be had in LOCK_ATTEMPTS times LOCK_SECONDS.
    """
    if month_of(first) > month_of(last):
        raise ValueError(f"The range of months is reversed: {first} to {last}.")
    present = attached(table, using)
    wanted = missing(present, first, last, archived(table, using))
    if len(wanted) > MOST_MONTHS:
        raise ValueError(f"{first} to {last} would take {len(wanted)} new partitions of {table}: a wrong date?")
    for partition in present:
        if not partition.refuses_truncate:
            alone(using, partial(refuse_truncate, table, partition.name, using))
    made = [alone(using, partial(_make, table, month, using)) for month in wanted]
    return [name for name in made if name]


def has_span(table: str, first: datetime, last: datetime) -> bool:
    """Whether each month of [first, last] has its partition; asks with the privileges of the application."""
    names = [name_of(table, month) for month in months(first, last)]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name", [names])
        return cursor.fetchone()[0]


def ensure_span(table: str, first: datetime, last: datetime) -> None:
    """Make what is missing of the months of [first, last] for rows to come; where nothing is, one query says so.

    Call it before a transaction begins. Raises what `ensure` does.
    """
    if not has_span(table, first, last):
        ensure(table, first, last)


def ensure_ahead(now: datetime, months_ahead: int = MONTHS_AHEAD, *, using: str = "owner") -> dict[str, list[str]]:
    """Make the month of `now` and `months_ahead` more for each existing table; table → names of those made.

    A table that cannot have its months does not keep the others from theirs: PartitionError tells of it afterwards.
    """
    month = month_of(now)
    made, failures = {}, {}
    for table in existing_tables(using):
        try:
            made[table] = ensure(table, month, add_months(month, months_ahead), using=using)
        except DatabaseError as error:
            failures[table] = error
    if failures:
        text = "; ".join(f"{table}: {error}" for table, error in failures.items())
        raise PartitionError(text) from next(iter(failures.values()))
    return made


def roll_over(now: datetime, *, using: str = "owner") -> dict[str, int]:
    """The daily job: make what is missing and judge what is there; returns figures, raises PartitionError on faults."""
    made = ensure_ahead(now, using=using)
    reports = check(now, using)
    faults = [f"{report.table}: {fault}" for report in reports for fault in report.faults]
    if faults:
        raise PartitionError("; ".join(faults))
    return {"made": sum(map(len, made.values())), "months_ahead": min(report.months_ahead for report in reports)}


def check(now: datetime, using: str = "owner") -> list[Report]:
    """What each table of TABLES has and what is wrong with it; changes nothing."""
    present = existing_tables(using)
    return [
        report(table, attached(table, using), now, archived(table, using))
        if table in present
        else Report(table, 0, None, None, 0, ("there is no such partitioned table: run migrate",))
        for table in TABLES
    ]


def report(
    table: str, partitions: Sequence[Partition], now: datetime, archived: Collection[date] = frozenset()
) -> Report:
    """Judge `partitions` of `table`: contiguous, whole UTC months, the current one among them, none to truncate."""
    current = month_of(now)
    faults = [
        f"{partition.name} is not bounded by whole months in UTC: {partition.bounds}"
        for partition in partitions
        if not (partition.first and partition.end)
    ]
    holders = Counter(_covered(partitions))
    faults += [f"{month:%Y-%m} is in {count} partitions" for month, count in sorted(holders.items()) if count > 1]
    faults += [f"{month:%Y-%m} has no partition" for month in missing(partitions, current, current, archived)]
    faults += [f"{partition.name} can be truncated" for partition in partitions if not partition.refuses_truncate]
    ahead = 0
    while add_months(current, ahead + 1) in holders:
        ahead += 1
    return Report(table, len(partitions), min(holders, default=None), max(holders, default=None), ahead, tuple(faults))


def _covered(partitions: Sequence[Partition]) -> list[date]:
    """Every month that a partition holds whole, once per partition that holds it."""
    return [
        month
        for partition in partitions
        if partition.first and partition.end
        for month in months(partition.first, add_months(partition.end, -1))
    ]


def _is_lock_timeout(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", None) == "55P03"


patiently = retry(
    retry=retry_if_exception(_is_lock_timeout),
    stop=stop_after_attempt(LOCK_ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
"""Tries again what did not get a lock within LOCK_SECONDS."""


@patiently
def alone(using: str, step: Callable[[], T]) -> T:
    """Run `step` as the only runner, in a transaction that waits LOCK_SECONDS for a lock, and again if in vain."""
    with transaction.atomic(using=using, durable=True):
        lock_timeout(LOCK_SECONDS, using)
        advisory_lock(LOCK_NAME, using=using)
        return step()


def _make(table: str, month: date, using: str) -> str | None:
    """Attach the partition of `month` unless another runner has; returns its name."""
    if month not in missing(attached(table, using), month, month, archived(table, using)):
        return None
    name, end = name_of(table, month), add_months(month, 1)
    storage = f"WITH ({STORAGE[table]})" if table in STORAGE else ""
    with connections[using].cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        # Without INCLUDING IDENTITY, which PostgreSQL 17 refuses to attach; indexes and row triggers come by ATTACH.
        cursor.execute(
            f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED '
            f"INCLUDING STORAGE INCLUDING COMPRESSION) {storage}"
        )
        cursor.execute(
            f'ALTER TABLE "{table}" ATTACH PARTITION "{name}" '
            f"FOR VALUES FROM ('{month} 00:00:00+00') TO ('{end} 00:00:00+00')"
        )
    made = next(partition for partition in attached(table, using) if partition.name == name)
    if (made.first, made.end) != (month, end):
        raise PartitionError(f"{name} was to hold {month} to {end} in UTC, but the catalogue says {made.bounds}.")
    if not made.refuses_truncate:
        refuse_truncate(table, name, using)
    policies.isolate(table, name, using)
    return name


def refuse_truncate(table: str, name: str, using: str) -> None:
    """Give a partition of `table` the statement trigger of its parent, which PostgreSQL does not clone."""
    schema = f"{DETACHED}." if table.startswith(f"{DETACHED}.") else ""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f'CREATE OR REPLACE TRIGGER {TRUNCATE_TRIGGER} BEFORE TRUNCATE ON {schema}"{name}" '
            "FOR EACH STATEMENT EXECUTE FUNCTION forge_refuse_truncate()"
        )
