"""One receipt against the log: its row, its leaf, and the way from there to a signed checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from audit.models import AuditLeaf
from audit.receipts import Receipt
from audit.sealing import keys, seals
from audit.sealing.tree import BrokenTree
from audit.verification import rows_sql
from audit.verification.dropped import LOG, TABLE, load
from audit.verification.findings import CannotDecide, Finding
from audit.verification.queries import fetch
from audit.verifier import proofs
from audit.verifier.notes import Checkpoint, NoteError, read_checkpoint
from audit.verifier.proofs import ProofError
from forge.db.detached import twin
from forge.db.months import month_of

_ROW = f"""
    SELECT log_hash, tableoid::regclass::text, "timestamp", ctid::text FROM {LOG} AS log WHERE id = %(id)s
     ORDER BY "timestamp"
"""  # noqa: S608
_DETACHED = f'SELECT log_hash, "timestamp" FROM {twin(TABLE)} WHERE id = %(id)s'  # noqa: S608


@dataclass
class ReceiptReport:
    """What a receipt's entry was held against; intact without findings."""

    receipt: Receipt
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def verify_receipt(receipt: Receipt) -> ReceiptReport:
    """Hold the receipt against row, leaf and newest signed checkpoint; raises CannotDecide while it is not sealed.

    Of an entry that retention dropped the leaf still vouches: `archived_month` among the facts says whose copy has it.
    The receipt is taken for genuine: an entry that is not as it says was changed or removed after it was handed out.
    """
    report = ReceiptReport(receipt)
    found = fetch(_ROW, {"id": receipt.entry_id})
    month = None if found else load().month_of(receipt.lane, receipt.lane_seq)
    if month is None:
        report.findings += _row_findings(receipt, found)
    leaf = AuditLeaf.objects.filter(lane=receipt.lane, lane_seq=receipt.lane_seq).first()
    if leaf is not None and bytes(leaf.hash) != proofs.leaf_hash(receipt.log_hash):
        report.findings.append(_finding(receipt, "receipt_leaf", "another row was sealed in its place"))
    if not report.findings:
        report.facts, findings = _prove(receipt)
        report.findings += findings
        report.facts["archived_month"] = f"{month:%Y-%m}" if month else None
    return report


def archived_month(receipt: Receipt) -> date | None:
    """The month that has left the log with the receipt's entry, detached or dropped; None where the log did not say so,
    or the receipt is not the entry's."""
    for log_hash, timestamp in fetch(_DETACHED, {"id": receipt.entry_id}):
        if bytes(log_hash) == receipt.log_hash:
            return month_of(timestamp)
    leaf = AuditLeaf.objects.filter(lane=receipt.lane, lane_seq=receipt.lane_seq).first()
    if leaf is None or bytes(leaf.hash) != proofs.leaf_hash(receipt.log_hash):
        return None
    return load().month_of(receipt.lane, receipt.lane_seq)


def _row_findings(receipt: Receipt, found: list[tuple]) -> list[Finding]:
    if not found:
        return [_finding(receipt, "receipt_without_row", "the row of this receipt is gone")]
    for log_hash, partition, timestamp, ctid in found:
        where = {"partition": partition, "timestamp": timestamp}
        if bytes(log_hash) != receipt.log_hash:
            return [
                _finding(receipt, "receipt_differs", "the row is not the one that the receipt was given for", **where)
            ]
        block, offset = ctid.strip("()").split(",")
        piece = {"first": timestamp, "end": timestamp + timedelta(microseconds=1), "limit": 1}
        piece |= {"low": ctid, "high": f"({block},{int(offset) + 1})"}
        if bad := fetch(rows_sql.BAD_ROWS, piece):
            return [_finding(receipt, "bad_row", f"its {bad[0][-1]} does not hold", **where)]
    return []


def _prove(receipt: Receipt) -> tuple[dict[str, Any], list[Finding]]:
    """What was proved, and why it was not."""
    known = keys.verifier_keys()
    if not known:
        raise CannotDecide("No key is known to check checkpoints with: set FORGE_AUDIT_VERIFIER_KEYS.")
    try:
        proof = seals.prove(receipt)
        size = proof.checkpoint.tree_size
        stored = Checkpoint(proof.checkpoint.origin, size, bytes(proof.checkpoint.root_hash))
        if read_checkpoint(proof.checkpoint.note or "", known) != stored:
            raise NoteError("its note is about another size or root")
        proofs.verify_inclusion(
            leaf=proofs.leaf_hash(receipt.log_hash),
            index=proof.leaf.index,
            size=size,
            path=proof.path,
            root=stored.root,
        )
    except seals.NotSealedYet as error:
        raise CannotDecide(f"{error.title}: ask again in a few seconds.") from error
    except (BrokenTree, NoteError, ProofError) as error:
        return {}, [_finding(receipt, "receipt_unproved", str(error))]
    return {"leaf_index": proof.leaf.index, "tree_size": size, "origin": stored.origin}, []


def _finding(receipt: Receipt, kind: str, detail: str, **where: Any) -> Finding:
    return Finding(kind, detail, receipt.lane, receipt.entry_id, receipt.lane_seq, **where)
