"""Reads what a bundle is made of: which leaves a range of time takes, and their rows, in pieces of one snapshot.

Everything comes as text from the database's own functions: a row that somebody edited is written as it stands, so that
a verifier finds it, and no value of it can stop the export.
"""

# ruff: noqa: S608  tables are given by the caller's code, every other part of these statements stands in this file

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

from audit.sealing.leaves import BACK
from forge.db.snapshots import one_instant

PIECE = 2000
"""Leaves that are read at once."""

NEAR = timedelta(days=32)
"""Rows of a piece are looked for so far behind those of the piece before, and everywhere only when not found there."""

_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Range:
    """[first, end) in time; None is without a bound. Rows are in the first of `tables`, neighbours in any of them.

    `is_first`: the database does not hold the month before. `is_cut`: months from before it have left the log.
    """

    first: datetime | None = None
    end: datetime | None = None
    tables: Sequence[str] = ("audit_auditlog",)
    is_first: bool = False
    is_cut: bool = False

    def bounds(self) -> dict[str, datetime]:
        return {"first": self.first or _BEGINNING, "end": self.end or _END}


@dataclass(frozen=True)
class Extent:
    """The leaves [low, high) that the range takes, and the signed checkpoint of size `high` that vouches for them."""

    low: int
    high: int
    is_complete: bool


@dataclass(frozen=True)
class SealedRow:
    """A leaf, and the row that stands in its place; `row` is None where there is none."""

    index: int
    lane: int
    lane_seq: int
    hash: bytes
    row: dict[str, Any] | None
    is_inside: bool


def _time(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


_COLUMNS = {
    "timestamp": _time('log."timestamp"'),
    **{
        name: f"log.{name}::text"
        for name in (
            "organization_id", "user_id", "actor_kind", "credential_id", "interface", "correlation_id", "action_type",
            "action_description", "resource_type", "resource_id", "result", "context", "changes", "content",
            "user_email", "source_ip", "user_agent", "personal",
        )
    },
    "occurred_at": _time("log.occurred_at"),
    **{name: f"log.{name}" for name in ("id", "lane", "lane_seq", "hash_version")},
    **{
        name: f"encode(log.{name}, 'hex')"
        for name in ("salt", "content_hash", "previous_log_hash", "log_hash")
    },
}  # fmt: skip
_NAMES = tuple(_COLUMNS)

# LATERAL and OFFSET: some thousand look-ups by key. Without statistics (a fresh month) a join would read whole tables.
_ROWS = f"""
    SELECT leaf."index", leaf.lane, leaf.lane_seq, leaf.hash, found.*
      FROM audit_auditleaf AS leaf
      LEFT JOIN LATERAL (
          SELECT true, log."timestamp" >= %(first)s AND log."timestamp" < %(end)s, {", ".join(_COLUMNS.values())}
            FROM {{table}} AS log
           WHERE log.id = (leaf.lane::bigint << 44) + leaf.lane_seq
             AND log."timestamp" >= %(after)s AND log."timestamp" < %(before)s
           ORDER BY log.id, log."timestamp" OFFSET 0
      ) AS found ON true
     WHERE leaf."index" = ANY(%(indexes)s)
     ORDER BY leaf."index"
"""

# The first and last sealed row of the range in each lane, by their leaves: within a lane leaves stand in its order.
_EDGES = """
    SELECT min(leaf."index"), max(leaf."index") + 1, count(*) FILTER (WHERE leaf."index" IS NULL)
      FROM generate_series(0, 255) AS given (lane)
     CROSS JOIN LATERAL (
         (SELECT id FROM {table} AS log WHERE id > given.lane::bigint << 44 AND id < (given.lane + 1)::bigint << 44
             AND "timestamp" >= %(first)s AND "timestamp" < %(end)s ORDER BY id LIMIT 1)
         UNION ALL
         (SELECT id FROM {table} AS log WHERE id > given.lane::bigint << 44 AND id < (given.lane + 1)::bigint << 44
             AND "timestamp" >= %(first)s AND "timestamp" < %(end)s ORDER BY id DESC LIMIT 1)
     ) AS edge
      LEFT JOIN audit_auditleaf AS leaf
        ON leaf.lane = given.lane AND leaf.lane_seq = edge.id - (given.lane::bigint << 44)
"""

# By the time rule nothing of the range lies under a checkpoint from before it, or beyond one from well after it.
_AROUND = """
    SELECT (SELECT tree_size FROM audit_auditcheckpoint WHERE sealed_at < %(first)s ORDER BY id DESC LIMIT 1),
           (SELECT tree_size FROM audit_auditcheckpoint WHERE sealed_at - %(back)s >= %(end)s AND note IS NOT NULL
             ORDER BY id LIMIT 1),
           (SELECT tree_size FROM audit_auditcheckpoint WHERE note IS NOT NULL ORDER BY id DESC LIMIT 1)
"""
_AT_LEAST = """
    SELECT min(tree_size) FROM audit_auditcheckpoint WHERE note IS NOT NULL AND tree_size >= %(size)s
"""
_CHECKPOINTS = """
    SELECT id, origin, tree_size, {sealed_at}, note FROM audit_auditcheckpoint
     WHERE note IS NOT NULL AND id > %(after)s AND tree_size BETWEEN %(low)s AND %(high)s ORDER BY id LIMIT 1000
""".format(sealed_at=_time("sealed_at"))

_BEFORE = """
    SELECT given.lane, encode(leaf.hash, 'hex')
      FROM unnest(%(lanes)s::int[], %(numbers)s::bigint[]) AS given (lane, number)
      JOIN audit_auditleaf AS leaf ON leaf.lane = given.lane AND leaf.lane_seq = given.number - 1
"""


class Snapshot:
    """The log at one instant, over a connection that others do not use meanwhile."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def extent(self, wanted: Range) -> Extent | None:
        """The leaves to take; None where no signed checkpoint is there to vouch for any."""
        bounds = wanted.bounds()
        ((low, after, newest),) = self._fetch(_AROUND, bounds | {"back": BACK})
        if newest is None:
            return None
        ((first, last, unsealed),) = self._fetch(_EDGES.format(table=wanted.tables[0]), bounds)
        low = min(low or 0, newest if first is None else first)
        if after is None or unsealed:
            return Extent(min(low, newest), newest, is_complete=False)
        ((high,),) = self._fetch(_AT_LEAST, {"size": max(low, after, last or 0)})
        return Extent(low, high or newest, is_complete=high is not None)

    def rows(self, wanted: Range, extent: Extent) -> Iterator[SealedRow]:
        """Each leaf of the extent in order, with its row. A number that stands in the log twice comes twice."""
        near: datetime | None = None
        for low in range(extent.low, extent.high, PIECE):
            indexes = list(range(low, min(low + PIECE, extent.high)))
            found = self._lookup(wanted, wanted.tables[0], indexes, near)
            missing = [one.index for one in found if one.row is None]
            if missing and near is not None:
                found = _merged(found, self._lookup(wanted, wanted.tables[0], missing, None))
            for table in wanted.tables[1:]:
                if missing := [one.index for one in found if one.row is None]:
                    found = _merged(found, self._lookup(wanted, table, missing, None))
            near = next((at for one in reversed(found) if (at := _plausible(one))), near)
            yield from found

    def count(self, wanted: Range) -> int:
        """All rows of the range, sealed or not."""
        within = '"timestamp" >= %(first)s AND "timestamp" < %(end)s'
        statement = f"SELECT count(*) FROM {wanted.tables[0]} AS log WHERE {within}"
        return self._fetch(statement, wanted.bounds())[0][0]

    def checkpoints(self, extent: Extent) -> Iterator[dict[str, Any]]:
        """The signed checkpoints from `low` to `high`, oldest first."""
        after = 0
        while found := self._fetch(_CHECKPOINTS, {"after": after, "low": extent.low, "high": extent.high}):
            for id_, origin, size, sealed_at, note in found:
                yield {"id": id_, "origin": origin, "tree_size": size, "sealed_at": sealed_at, "note": note}
            after = found[-1][0]

    def leaves_before(self, lanes: dict[int, int]) -> dict[int, str]:
        """Lane → the hash of the leaf before the given number of it, where there is one."""
        return dict(self._fetch(_BEFORE, {"lanes": list(lanes), "numbers": list(lanes.values())}))

    def _lookup(self, wanted: Range, table: str, indexes: list[int], near: datetime | None) -> list[SealedRow]:
        around = {"after": _BEGINNING, "before": _END}
        if near is not None:
            around = {"after": near - BACK, "before": near + NEAR}
        found = self._fetch(_ROWS.format(table=table), wanted.bounds() | around | {"indexes": indexes})
        return [
            SealedRow(
                index,
                lane,
                lane_seq,
                bytes(hashed),
                dict(zip(_NAMES, row, strict=True)) if is_there else None,
                bool(inside),
            )
            for index, lane, lane_seq, hashed, is_there, inside, *row in found
        ]

    def _fetch(self, statement: str, parameters: dict[str, Any]) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()


@contextmanager
def snapshot(using: str) -> Iterator[Snapshot]:
    """A read-only REPEATABLE READ transaction of its own; raises RuntimeError inside another one."""
    connection = connections[using]
    with one_instant(using):
        with connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL jit = off; SET LOCAL statement_timeout = 0;SET LOCAL idle_in_transaction_session_timeout = 0"
            )
        yield Snapshot(connection)


def _merged(found: list[SealedRow], more: list[SealedRow]) -> list[SealedRow]:
    """`found` with the rows of `more` in the place of those that were missing."""
    kept = [one for one in found if one.row is not None]
    return sorted(kept + more, key=lambda one: one.index)


def _plausible(sealed: SealedRow) -> datetime | None:
    """The time of a row of the range, if it is one that days can be added to."""
    at = sealed.row["timestamp"] if sealed.row and sealed.is_inside else None
    return (
        datetime.fromisoformat(at)
        if at and "1000" < at < "9000" and len(at) == len("2026-11-30T23:59:59.000001Z")
        else None
    )
