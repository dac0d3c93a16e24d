"""The stored Merkle tree: its size, root and paths, each from at most a few dozen rows whatever the size of the log.

Works on any connection with `cursor()`: Django's own, or the sealer's psycopg connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from audit.verifier import proofs
from audit.verifier.proofs import CompactRange, Node, node_hash

_SIZE = 'SELECT coalesce(max("index") + 1, 0) FROM audit_auditleaf'
_NODES = """
    SELECT 0, "index", hash FROM audit_auditleaf WHERE "index" = ANY(%(leaves)s)
    UNION ALL
    SELECT node.level, node."index", node.hash
      FROM unnest(%(levels)s::int[], %(indexes)s::bigint[]) AS given (level, "index")
      JOIN audit_auditnode AS node ON node.level = given.level AND node."index" = given."index"
"""


class BrokenTree(Exception):
    """Leaves or nodes that must be there are not; the message names the first."""


class StoredTree:
    """Reads audit_auditleaf and audit_auditnode; counts the rows it has read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.rows_read = 0

    def size(self) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(_SIZE)
            return cursor.fetchone()[0]

    def compact_range(self, size: int) -> CompactRange:
        """The peaks of the tree of the first `size` leaves; raises BrokenTree."""
        nodes = proofs.covering(0, size)
        found = self._fetch(nodes)
        return CompactRange(size, [found[node] for node in nodes])

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves; raises BrokenTree."""
        return self.compact_range(size).root()

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """The hashes that prove leaf `index` in the tree of `size`; raises BrokenTree."""
        return self._hashes(proofs.inclusion_ranges(index, size))

    def consistency_path(self, old: int, new: int) -> list[bytes]:
        """The hashes that prove that the tree of `new` leaves goes on from that of `old`; raises BrokenTree."""
        return self._hashes(proofs.consistency_ranges(old, new)) if old else []

    def _hashes(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        covers = [proofs.covering(start, end) for start, end in ranges]
        found = self._fetch(node for nodes in covers for node in nodes)
        return [_fold([found[node] for node in nodes]) for nodes in covers]

    def _fetch(self, nodes: Iterable[Node]) -> dict[Node, bytes]:
        wanted = set(nodes)
        if not wanted:
            return {}
        above = [node for node in wanted if node.level]
        with self._connection.cursor() as cursor:
            cursor.execute(
                _NODES,
                {
                    "leaves": [node.index for node in wanted if not node.level],
                    "levels": [node.level for node in above],
                    "indexes": [node.index for node in above],
                },
            )
            found = {Node(level, index): bytes(hashed) for level, index, hashed in cursor.fetchall()}
        self.rows_read += len(found)
        if missing := sorted(wanted - found.keys(), key=lambda node: (node.level, node.index)):
            raise BrokenTree(f"the audit tree lacks node {missing[0].index} of level {missing[0].level}")
        return found


def _fold(hashes: list[bytes]) -> bytes:
    """The hash of a range from those of the complete subtrees that cover it, the leftmost first."""
    hashed = hashes[-1]
    for left in reversed(hashes[:-1]):
        hashed = node_hash(left, hashed)
    return hashed
