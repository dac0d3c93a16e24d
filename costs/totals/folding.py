"""Add the differences that bookings wrote down to their sums: daily totals, and sums by tag."""

from __future__ import annotations

from django.db import connection, transaction

from forge.db.locks import advisory_lock

CHUNK = 10_000
"""Differences of one transaction."""

_SUMS = ("billed_hours", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost")

_FOLD = """
    WITH difference AS (
        DELETE FROM {table}
         WHERE id IN (SELECT id FROM {table} WHERE NOT is_folded ORDER BY id LIMIT %s)
        RETURNING *
    )
    INSERT INTO {table} AS kept ({keys}, is_folded, {counted})
    SELECT {keys}, true, {sums} FROM difference GROUP BY {keys} ORDER BY {keys}
    ON CONFLICT ({keys}) WHERE is_folded DO UPDATE SET {added}
    RETURNING CASE WHEN {count} = 0 THEN id END
"""
_DROP_EMPTY = "DELETE FROM {table} WHERE id = ANY (%s) AND {count} = 0"


class Folding:
    """The folding of one table of sums, whose rows are known by `keys` and count in `count` what they are sums of."""

    def __init__(self, table: str, *, keys: tuple[str, ...], count: str) -> None:
        self.lock = f"{table} fold"
        counted = (count, *_SUMS)
        names = {
            "table": table,
            "count": count,
            "keys": ", ".join(keys),
            "counted": ", ".join(counted),
            "sums": ", ".join(f"sum({name})" for name in counted),
            "added": ", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in counted),
        }
        self._fold = _FOLD.format(**names)
        self._drop_empty = _DROP_EMPTY.format(**names)

    def fold(self, *, most: int) -> tuple[int, int]:
        """Fold in at most `most` transactions; (sums that differences were added to, transactions)."""
        folded = done = 0
        while done < most and (sums := self._chunk()):
            folded += sums
            done += 1
        return folded, done

    def _chunk(self) -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            advisory_lock(self.lock)
            cursor.execute(self._fold, [CHUNK])
            found = [row[0] for row in cursor.fetchall()]
            empty = [id_ for id_ in found if id_ is not None]
            if empty:
                cursor.execute(self._drop_empty, [empty])
        return len(found)


TAGS = Folding("costs_tagcost", keys=("organization_id", "key", "day", "value", "basis"), count="records")
TOTALS = Folding(
    "costs_dailytotal",
    keys=(
        "organization_id",
        "day",
        "team_id",
        "project_id",
        "blueprint_id",
        "cost_center",
        "bundle_type",
        "region",
        "running_mode",
        "basis",
    ),
    count="rows",
)


def fold(*, most: int = 50) -> tuple[int, int]:
    """Fold both, in at most about `most` transactions of each; (sums, transactions)."""
    (tags, some), (totals, others) = TAGS.fold(most=most), TOTALS.fold(most=most)
    return tags + totals, some + others
