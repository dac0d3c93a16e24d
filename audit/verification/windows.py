"""Which leaves a month takes: from the last checkpoint before it to the first signed one that is well behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.sealing.leaves import BACK
from audit.verification.dropped import LOG
from audit.verification.queries import fetch

# By time, and by the leaves of the first and last row of the month in each lane, so that neither alone decides.
_WINDOW = f"""
    WITH edge AS (
        SELECT min(leaf."index") AS first, max(leaf."index") AS last
          FROM generate_series(0, 255) AS given (lane)
         CROSS JOIN LATERAL (
             (SELECT id FROM {LOG} AS log WHERE id > given.lane::bigint << 44 AND id < (given.lane + 1)::bigint << 44
                 AND "timestamp" >= %(first)s AND "timestamp" < %(end)s ORDER BY id LIMIT 1)
             UNION ALL
             (SELECT id FROM {LOG} AS log WHERE id > given.lane::bigint << 44 AND id < (given.lane + 1)::bigint << 44
                 AND "timestamp" >= %(first)s AND "timestamp" < %(end)s ORDER BY id DESC LIMIT 1)
         ) AS row
          JOIN audit_auditleaf AS leaf
            ON leaf.lane = given.lane AND leaf.lane_seq = row.id - (given.lane::bigint << 44)
    )
    SELECT before.id, before.tree_size, after.id, after.tree_size
      FROM (SELECT) AS one
      LEFT JOIN LATERAL (
          SELECT id, tree_size FROM audit_auditcheckpoint
           WHERE sealed_at < %(first)s AND tree_size <= coalesce((SELECT first FROM edge), tree_size)
           ORDER BY id DESC LIMIT 1) AS before ON true
      LEFT JOIN LATERAL (
          SELECT id, tree_size FROM audit_auditcheckpoint
           WHERE sealed_at - %(back)s >= %(end)s AND tree_size > coalesce((SELECT last FROM edge), 0)
             AND note IS NOT NULL
           ORDER BY id LIMIT 1) AS after ON true
"""  # noqa: S608  every part of it stands in this package


@dataclass(frozen=True)
class Window:
    """Leaves [low, high), and the numbers of the checkpoints of these sizes; `base` is 0 at the beginning."""

    base: int
    low: int
    newest: int
    high: int


def window_of(first: datetime, end: datetime, *, newest: int, size: int) -> Window:
    """The window of the rows of [first, end); it ends at `newest`, of that `size`, where nothing signed comes after."""
    ((base, low, last, high),) = fetch(_WINDOW, {"first": first, "end": end, "back": BACK})
    return Window(base or 0, low or 0, last or newest, high or size)
