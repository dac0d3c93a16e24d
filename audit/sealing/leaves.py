"""From rows to leaves: what of the log has no leaf yet, appended to the stored tree in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import psycopg

from audit.receipts import LANE_SHIFT
from audit.sealing.tree import StoredTree
from audit.verifier.proofs import HASH_BYTES, Node, leaf_hash

CHUNK = 5000
"""Leaves that are written with one COPY; memory does not grow with what there is to seal."""

BACK = timedelta(minutes=5)
"""So far may a time lie behind the one before it: clocks of servers are corrected, transactions take up to a minute."""

MOST_FAULTS = 20
_BEFORE_THE_FIRST = bytes(HASH_BYTES)

_LANES = """
    SELECT head.lane, head.lane_seq, coalesce(last.lane_seq, 0), last.hash
      FROM audit_auditlane AS head
      LEFT JOIN LATERAL (
          SELECT lane_seq, hash FROM audit_auditleaf AS leaf WHERE leaf.lane = head.lane
           ORDER BY lane_seq DESC LIMIT 1
      ) AS last ON true
     WHERE head.lane_seq > coalesce(last.lane_seq, 0)
     ORDER BY head.lane
"""
_ROWS = """
    SELECT id, log_hash, previous_log_hash, "timestamp" FROM audit_auditlog WHERE id > %s AND id <= %s
     ORDER BY id, "timestamp"
"""


@dataclass(frozen=True)
class _Waiting:
    """A lane that has entries without a leaf: numbers after `sealed` up to `head`."""

    lane: int
    head: int
    sealed: int
    last_leaf: bytes | None


class Leaves:
    """Appends to the stored tree over `connection`; `append` belongs into a REPEATABLE READ transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        stored = StoredTree(connection)
        self.tree = stored.compact_range(stored.size())
        self.nodes_read = stored.rows_read
        self.nodes_written = 0
        self.added = 0
        self.faults: list[str] = []

    def waiting(self) -> int:
        """How many entries have no leaf yet."""
        return sum(lane.head - lane.sealed for lane in self._lanes())

    def append(self, *, not_after: datetime, not_before: datetime | None) -> None:
        """Make leaves of all that waits; times outside [not_before - BACK, not_after] are faults."""
        pending = self._places(not_after, not_before)
        while chunk := list(islice(pending, CHUNK)):
            self._write(chunk)

    def _lanes(self) -> list[_Waiting]:
        rows = self._connection.execute(_LANES).fetchall()
        return [_Waiting(lane, head, sealed, last) for lane, head, sealed, last in rows]

    def _places(self, not_after: datetime, not_before: datetime | None) -> Iterator[tuple[int, int, bytes]]:
        """(lane, number, leaf hash) of each entry that waits, lane by lane."""
        for lane in self._lanes():
            first = lane.lane << LANE_SHIFT
            seq, last_leaf, last_at = lane.sealed, lane.last_leaf, not_before
            with self._connection.cursor(name="audit_rows") as cursor:
                cursor.itersize = CHUNK
                cursor.execute(_ROWS, [first + lane.sealed, first + lane.head])
                for id_, log_hash, previous, at in cursor:
                    number = id_ - first
                    if number == seq:
                        self._fault(f"lane {lane.lane} number {number} stands in the log twice")
                        continue
                    if number > seq + 1:
                        self._fault(f"lane {lane.lane} lacks numbers {seq + 1} to {number - 1}")
                    elif not _links(previous, last_leaf):
                        self._fault(f"lane {lane.lane} number {number} does not go on from the entry before it")
                    if at > not_after or (last_at is not None and at < last_at - BACK):
                        self._fault(f"lane {lane.lane} number {number} has an impossible time, {at.isoformat()}")
                    seq, last_leaf, last_at = number, leaf_hash(log_hash), at
                    yield lane.lane, number, last_leaf
            if seq < lane.head:
                self._fault(f"lane {lane.lane} lacks numbers {seq + 1} to {lane.head}")

    def _write(self, chunk: list[tuple[int, int, bytes]]) -> None:
        nodes: list[tuple[Node, bytes]] = []
        with self._connection.cursor() as cursor:
            with cursor.copy('COPY audit_auditleaf ("index", lane, lane_seq, hash) FROM STDIN') as copy:
                for lane, lane_seq, hashed in chunk:
                    copy.write_row((self.tree.size, lane, lane_seq, hashed))
                    nodes += self.tree.append(hashed)
            with cursor.copy('COPY audit_auditnode (level, "index", hash) FROM STDIN') as copy:
                for node, hashed in nodes:
                    copy.write_row((node.level, node.index, hashed))
        self.added += len(chunk)
        self.nodes_written += len(nodes)

    def _fault(self, text: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)


def _links(previous: bytes, last_leaf: bytes | None) -> bool:
    """Whether `previous` is the log_hash behind the lane's last leaf, or zeros where it has none."""
    return previous == _BEFORE_THE_FIRST if last_leaf is None else leaf_hash(previous) == last_leaf
