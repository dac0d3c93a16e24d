"""What the seals say: how far the log is sealed and published, what is wrong with that, and proofs for receipts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from audit.models import AuditCheckpoint, AuditLeaf
from audit.receipts import Receipt
from audit.sealing import keys
from audit.sealing.sinks import Sink, configured
from audit.sealing.tree import StoredTree
from forge.api.errors import NotFound
from forge.db.models import JobRun

JOB = "audit_seal"

MOST_SEALING_LAG = timedelta(seconds=10)
"""An entry is sealed so long after its commit, at most; later is an alarm."""

MOST_PUBLISHING_LAG = timedelta(seconds=60)
"""A checkpoint is signed and in every sink so long after its seal, at most; later is an alarm."""

# An entry that waits was committed after the newest checkpoint looked, so that time bounds the wait from its commit.
_STATUS = """
    SELECT newest.tree_size, newest.sealed_at, waiting.count, newest.numbers - newest.tree_size,
           clock_timestamp() - greatest(newest.sealed_at, waiting.oldest)
      FROM (
          SELECT (SELECT coalesce(max("index") + 1, 0) FROM audit_auditleaf) AS tree_size,
                 (SELECT sealed_at FROM audit_auditcheckpoint ORDER BY id DESC LIMIT 1) AS sealed_at,
                 (SELECT coalesce(sum(last.lane_seq), 0)::bigint FROM generate_series(0, 255) AS given (lane)
                   CROSS JOIN LATERAL (SELECT lane_seq FROM audit_auditleaf AS leaf WHERE leaf.lane = given.lane
                                        ORDER BY lane_seq DESC LIMIT 1) AS last) AS numbers
      ) AS newest CROSS JOIN (
          SELECT coalesce(sum(head.lane_seq - coalesce(last.lane_seq, 0)), 0)::bigint AS count,
                 min(first."timestamp") AS oldest
            FROM audit_auditlane AS head
            LEFT JOIN LATERAL (SELECT lane_seq FROM audit_auditleaf AS leaf WHERE leaf.lane = head.lane
                                ORDER BY lane_seq DESC LIMIT 1) AS last ON true
            LEFT JOIN LATERAL (SELECT "timestamp" FROM audit_auditlog AS log
                                WHERE log.id = (head.lane::bigint << 44) + coalesce(last.lane_seq, 0) + 1
                                LIMIT 1) AS first ON true
           WHERE head.lane_seq > coalesce(last.lane_seq, 0)
      ) AS waiting
"""
_LATE = """
    SELECT min(sealed_at) FROM (
        SELECT sealed_at FROM audit_auditcheckpoint
         WHERE note IS NOT NULL
           AND id > coalesce((SELECT max(checkpoint_id) FROM audit_auditpublication WHERE sink = %s), 0)
         ORDER BY id LIMIT 1
    ) AS next WHERE sealed_at < clock_timestamp() - %s
"""
_UNSIGNED = """
    SELECT note IS NULL AND sealed_at < clock_timestamp() - %s FROM audit_auditcheckpoint ORDER BY id DESC LIMIT 1
"""


_UNPUBLISHED = """
    SELECT count(*) FROM audit_auditcheckpoint
     WHERE note IS NOT NULL
       AND id > coalesce((SELECT max(checkpoint_id) FROM audit_auditpublication WHERE sink = %s), 0)
"""
_LANES = "SELECT count(*) FROM audit_auditlane WHERE lane_seq > 0"


class UnknownReceipt(NotFound):
    code = "unknown_receipt"
    title = "The audit log holds no entry with this receipt"
    suggested_action = (
        "If this installation handed the receipt out, the entry was changed or removed: tell an auditor, who runs"
        " manage.py audit_verify --receipt."
    )
    advice = "If this installation handed the receipt out, the entry was changed or removed: tell an auditor."


class NotSealedYet(NotFound):
    code = "not_sealed_yet"
    title = "The entry stands in the log but is under no signed checkpoint yet"
    suggested_action = "Ask again in a few seconds."
    retryable = True
    retry_after = 5


@dataclass(frozen=True)
class Proof:
    """That an entry stands in the log: the leaf, its path, and the signed checkpoint that the path leads to.

    `archived_month` (YYYY-MM) where its row has left the log for the archive.
    """

    receipt: Receipt
    leaf: AuditLeaf
    checkpoint: AuditCheckpoint
    path: list[bytes]
    archived_month: str | None = None


@dataclass
class Status:
    """How far the log is sealed. `lag` bounds how long the oldest unsealed entry has waited since its commit."""

    tree_size: int = 0
    sealed_at: datetime | None = None
    waiting: int = 0
    lag: timedelta = timedelta()
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        until = f"{self.sealed_at:%Y-%m-%d %H:%M:%S} UTC" if self.sealed_at else "never"
        state = f"{self.tree_size} entries sealed, last {until}, {self.waiting} wait ({self.lag.total_seconds():.0f} s)"
        return "; ".join([state, *self.problems])


def newest_signed() -> AuditCheckpoint | None:
    return AuditCheckpoint.objects.filter(note__isnull=False).order_by("-id").first()


def prove(receipt: Receipt) -> Proof:
    """The proof of the entry under the newest signed checkpoint; raises NotSealedYet, BrokenTree."""
    leaf = AuditLeaf.objects.filter(lane=receipt.lane, lane_seq=receipt.lane_seq).first()
    checkpoint = newest_signed()
    if leaf is None or checkpoint is None or checkpoint.tree_size <= leaf.index:
        raise NotSealedYet()
    path = StoredTree(connection).inclusion_path(leaf.index, checkpoint.tree_size)
    return Proof(receipt, leaf, checkpoint, path)


def status() -> Status:
    """How far the log is sealed and published; `problems` is empty when all is well."""
    tree_size, sealed_at, waiting, holes, lag = _one(_STATUS)
    found = Status(tree_size, sealed_at, waiting, lag if waiting and lag else timedelta())
    if found.lag > MOST_SEALING_LAG:
        found.problems.append(f"{waiting} entries wait longer than {MOST_SEALING_LAG.seconds} s for their seal")
    if holes:
        found.problems.append(f"{holes} entries were gone before they were sealed; run audit_verify")
    found.problems += _key_problems() + _sink_problems() + _job_problems()
    return found


def unpublished() -> dict[str, int]:
    """How many signed checkpoints each sink lacks; empty where the sinks are not set rightly."""
    try:
        sinks = configured()
    except ImproperlyConfigured:
        return {}  # `status` names it as a problem
    return {sink.name: _one(_UNPUBLISHED, [sink.name])[0] for sink in sinks}


def lanes_in_use() -> int:
    """How many of the 256 lanes have entries."""
    return _one(_LANES)[0]


def _key_problems() -> list[str]:
    try:
        keys.origin_of(1)
        if not keys.verifier_keys():  # a web process may know the public key alone
            return ["nothing is signed: FORGE_AUDIT_SIGNING_KEY is not set"]
    except ImproperlyConfigured as error:
        return [str(error)]
    (is_late,) = _one(_UNSIGNED, [MOST_PUBLISHING_LAG]) or (False,)
    return ["the newest checkpoint is not signed: no readable sink could be compared"] if is_late else []


def _sink_problems() -> list[str]:
    try:
        sinks = configured()
    except ImproperlyConfigured as error:
        return [str(error)]
    problems = [text for sink in sinks if (text := _lateness(sink))]
    if not any(sink.is_readable for sink in sinks):
        problems.append("nothing is signed: FORGE_AUDIT_SINKS names no sink that can be read back")
    return problems


def _lateness(sink: Sink) -> str | None:
    (since,) = _one(_LATE, [sink.name, MOST_PUBLISHING_LAG])
    return f"{sink.name} lacks checkpoints since {since:%Y-%m-%d %H:%M:%S} UTC" if since else None


def _job_problems() -> list[str]:
    """How the last pass went, without its words: /readyz shows this to everybody, the job run tells operators more."""
    ended = JobRun.objects.filter(job=JOB).exclude(outcome=JobRun.Outcome.RUNNING)
    run = ended.order_by("-slot").first()
    if run is None:
        return []
    if run.outcome == JobRun.Outcome.FAILED:
        return [f"sealing failed: {run.error.partition(':')[0]}; the job run of {JOB} says why"]
    told = {"failures": "a sink failed", "faults": "rows are not as they must be"}
    return [f"{problem}; the job run of {JOB} says which" for name, problem in told.items() if name in run.figures]


def _one(statement: str, parameters: list[Any] | None = None) -> tuple:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()
