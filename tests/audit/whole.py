"""What must be true of the log whatever happened to it: no fork, no hole, each seal consistent, each receipt kept."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import psycopg
from django.db import connection

from audit import entries, services
from audit.models import AuditCheckpoint, AuditLane, AuditLeaf, AuditLog
from audit.receipts import Receipt
from audit.sealing.tree import StoredTree
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from audit.verifier.proofs import leaf_hash, verify_consistency, verify_inclusion
from tests.audit.support import entry


def append_over(other: psycopg.Connection, number: int = 0, **fields) -> Receipt:
    """One entry over a connection of its own, in its open transaction."""
    row = entries.columns(entry(number, **fields))
    return Receipt.unpack(other.execute(services._APPEND, [row[name] for name in services._COLUMNS]).fetchone()[0])


def check_whole(acknowledged: Iterable[Receipt], *, outside: Path) -> dict[str, int]:
    """Hold the sealed log against everything, and every acknowledged receipt against it; returns what was counted.

    The caller has sealed and published all of it. Other entries than those acknowledged may be there: whose commit
    was carried out and whose answer was lost.
    """
    report = verify()
    assert report.findings == []
    assert report.is_intact
    sealed = verify_seals(against=outside)
    assert sealed.findings == []
    checkpoints = list(AuditCheckpoint.objects.order_by("id"))
    assert sealed.signed == sealed.compared == len(checkpoints)

    heads = dict(AuditLane.objects.values_list("lane", "lane_seq"))
    assert len(heads) == 256
    places = list(AuditLog.objects.values_list("lane", "lane_seq"))
    assert len(places) == len(set(places)) == sum(heads.values()) == report.rows == sealed.leaves
    assert set(places) == {(lane, seq) for lane, last in heads.items() for seq in range(1, last + 1)}

    tree = StoredTree(connection)
    for before, after in itertools.pairwise(checkpoints):
        verify_consistency(
            old=before.tree_size,
            old_root=bytes(before.root_hash),
            new=after.tree_size,
            new_root=bytes(after.root_hash),
            path=tree.consistency_path(before.tree_size, after.tree_size),
        )
    last, receipts = checkpoints[-1], set(acknowledged)
    assert last.tree_size == report.rows
    for receipt in receipts:
        index = AuditLeaf.objects.values_list("index", flat=True).get(lane=receipt.lane, lane_seq=receipt.lane_seq)
        verify_inclusion(
            leaf=leaf_hash(receipt.log_hash),
            index=index,
            size=last.tree_size,
            path=tree.inclusion_path(index, last.tree_size),
            root=bytes(last.root_hash),
        )
    places_kept = {(receipt.lane, receipt.lane_seq) for receipt in receipts}
    assert len(places_kept) == len(receipts), "two receipts name one place"
    return {
        "entries": report.rows,
        "acknowledged": len(receipts),
        "lanes": report.lanes,
        "checkpoints": len(checkpoints),
    }
