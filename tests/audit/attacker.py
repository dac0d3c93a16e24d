"""What an attacker with a superuser's connection can do to the log, as tools; and the log that is attacked."""

import calendar
import hashlib
from datetime import UTC, datetime

from audit.models import AuditLog
from audit.receipts import LANE_SHIFT
from audit.sealing.sealer import seal
from audit.sealing.signing import SigningKey
from audit.verifier.notes import Checkpoint
from audit.verifier.proofs import CompactRange, leaf_hash
from forge.db import partitions
from forge.db.months import add_months, month_of
from tests.audit.support import leave, log_hash, rechain

THIS_MONTH = month_of(datetime.now(UTC))
MONTHS = [add_months(THIS_MONTH, -back) for back in (3, 2, 1)]
COUNTS = {0: (4, 5, 3), 1: (3, 3, 3), 2: (0, 4, 2)}
"""Rows of each lane in each of the three months; each month was sealed at its end."""


def place(lane, lane_seq):
    return (lane << LANE_SHIFT) + lane_seq


def name_of(month):
    return partitions.name_of("audit_auditlog", month)


def months_of(lane):
    """The month of each row of the lane, in order."""
    return [month for month, count in zip(MONTHS, COUNTS[lane], strict=True) for _ in range(count)]


class Attacker:
    """Runs SQL past all triggers. Rows are named by lane and number."""

    def __init__(self, superuser):
        self.sql = superuser

    def rows(self, lane):
        return self.sql(
            'SELECT id, content_hash, "timestamp" FROM audit_auditlog WHERE id >> 44 = %s ORDER BY id', lane
        ).fetchall()

    def edit(self, lane, lane_seq, *, recompute):
        """Make the row say something else; with its content hash if asked."""
        where = place(lane, lane_seq)
        content, description = self.sql(
            "SELECT content, action_description FROM audit_auditlog WHERE id = %s", where
        ).fetchone()
        other = "Did nothing at all"
        content = content.replace(description, other) if recompute else content
        content_hash = hashlib.sha256(content.encode()).digest()
        self.sql(
            "UPDATE audit_auditlog SET action_description = %s, content = %s, content_hash = %s WHERE id = %s",
            other, content, content_hash, where,
        )  # fmt: skip

    def relink(self, lane):
        """Number the rows of the lane from 1 on, hash them into a chain, and set the head on its end."""
        previous, count = bytes(32), 0
        for row_id, content_hash, at in self.rows(lane):
            count += 1
            hashed = log_hash(lane=lane, lane_seq=count, timestamp=at, previous=previous, content_hash=content_hash)
            self.sql(
                "UPDATE audit_auditlog SET id = %s, lane_seq = %s, previous_log_hash = %s, log_hash = %s"
                ' WHERE id = %s AND "timestamp" = %s',
                place(lane, count), count, previous, hashed, row_id, at,
            )  # fmt: skip
            previous = hashed
        self.sql("UPDATE audit_auditlane SET lane_seq = %s, log_hash = %s WHERE lane = %s", count, previous, lane)

    def delete(self, lane, *numbers):
        self.sql("DELETE FROM audit_auditlog WHERE id = ANY(%s)", [place(lane, number) for number in numbers])

    def swap(self, lane, one, other):
        """Exchange what two rows say, each with its own content hash."""
        columns = "action_description, resource_id, occurred_at, correlation_id, context, content, content_hash, salt"
        self.sql(
            f"""UPDATE audit_auditlog AS log SET ({columns}) = (
                    SELECT {columns} FROM audit_auditlog AS other WHERE other.id = %s + %s - log.id)
                 WHERE log.id IN (%s, %s)""",
            *(place(lane, one), place(lane, other)) * 2,
        )

    def copy(self, lane, of, *, to, at):
        """Another row with the content of one: number `to`, recorded `at`, chained to the row before it."""
        content_hash, previous = self.sql(
            "SELECT content_hash, (SELECT log_hash FROM audit_auditlog AS last WHERE last.id = %s LIMIT 1)"
            " FROM audit_auditlog WHERE id = %s",
            place(lane, to - 1), place(lane, of),
        ).fetchone()  # fmt: skip
        hashed = log_hash(lane=lane, lane_seq=to, timestamp=at, previous=previous, content_hash=content_hash)
        self.sql("CREATE TEMP TABLE forged AS SELECT * FROM audit_auditlog WHERE id = %s", place(lane, of))
        self.sql(
            'UPDATE forged SET id = %s, lane_seq = %s, "timestamp" = %s, previous_log_hash = %s, log_hash = %s',
            place(lane, to), to, at, previous, hashed,
        )  # fmt: skip
        self.sql("INSERT INTO audit_auditlog SELECT * FROM forged")
        self.sql("DROP TABLE forged")

    def swap_partition(self, month, lane, lane_seq):
        """Put a table in the month's place in which one row says something else; relink every lane."""
        name, end = name_of(month), add_months(month, 1)
        self.edit(lane, lane_seq, recompute=True)
        self.sql(f"CREATE TABLE rewritten (LIKE {name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        self.sql(f"INSERT INTO rewritten SELECT * FROM {name}")
        self.sql(f"ALTER TABLE audit_auditlog DETACH PARTITION {name}")
        self.sql(f"DROP TABLE {name}")
        self.sql(f"ALTER TABLE rewritten RENAME TO {name}")
        self.sql(f"ALTER TABLE {name} OWNER TO forge_owner")
        self.sql(
            f"ALTER TABLE audit_auditlog ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{month} 00:00+00') TO ('{end} 00:00+00')"
        )
        for one in COUNTS:
            self.relink(one)

    def reseal(self, *, sign_with=None):
        """Make leaves, nodes and roots of the rows as they are now; sign them, if there is a key."""
        leaves = self.sql('SELECT "index", lane, lane_seq FROM audit_auditleaf ORDER BY "index"').fetchall()
        hashes = dict(self.sql("SELECT id, log_hash FROM audit_auditlog").fetchall())
        self.sql("DELETE FROM audit_auditnode")
        tree, roots = CompactRange(), {}
        for _, lane, lane_seq in leaves:
            hashed = leaf_hash(hashes[place(lane, lane_seq)])
            self.sql(
                'UPDATE audit_auditleaf SET "index" = %s, hash = %s WHERE lane = %s AND lane_seq = %s',
                tree.size, hashed, lane, lane_seq,
            )  # fmt: skip
            for node, above in tree.append(hashed):
                self.sql("INSERT INTO audit_auditnode VALUES (%s, %s, %s)", node.level, node.index, above)
            roots[tree.size] = tree.root()
        for id_, origin, size in self.sql("SELECT id, origin, tree_size FROM audit_auditcheckpoint").fetchall():
            size = min(size, tree.size)
            self.sql("DELETE FROM audit_auditcheckpoint WHERE tree_size = %s AND id <> %s", size, id_)
            self.sql(
                "UPDATE audit_auditcheckpoint SET tree_size = %s, root_hash = %s WHERE id = %s", size, roots[size], id_
            )
            if sign_with:
                note = SigningKey.load(sign_with).sign(Checkpoint(origin, size, roots[size]))
                self.sql("UPDATE audit_auditcheckpoint SET note = %s WHERE id = %s", note, id_)


def build(superuser):
    """Three past months of lanes 0 to 2, each sealed at its end, as an honest history would have it; the receipts."""
    partitions.ensure("audit_auditlog", MONTHS[0], THIS_MONTH)
    times = {lane: [] for lane in COUNTS}
    for number, month in enumerate(MONTHS):
        for lane, counts in COUNTS.items():
            if not counts[number]:
                continue
            leave(counts[number], lane=lane)
            times[lane] += [datetime(month.year, month.month, 3, lane, at, tzinfo=UTC) for at in range(counts[number])]
            rechain(superuser, lane, times[lane])
        seal()
        last = calendar.monthrange(month.year, month.month)[1]
        superuser(
            "UPDATE audit_auditcheckpoint SET sealed_at = %s WHERE id = %s",
            datetime(month.year, month.month, last, 23, tzinfo=UTC), number + 1,
        )  # fmt: skip
    return {(entry.lane, entry.lane_seq): entry.receipt for entry in AuditLog.objects.all()}
