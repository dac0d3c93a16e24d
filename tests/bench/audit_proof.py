"""`audit_proof_ms`: milliseconds for the proof of one receipt in a log of 10 million sealed entries. No goal.

What `GET /api/v1/audit/proofs/{receipt}/` calls for it (`seals.prove`), for receipts taken by lot, without HTTP and
without looking the entry up: checks the leaf, reads the newest signed checkpoint and the hashes of the path. The tree
is made by `tests.bench.trees`, which says of what, and sealed over with real entries once, so that its checkpoint is
the sealer's. Each proof of a run is held against the checkpoint's root after the clock has stopped.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction
from django.test import override_settings

from audit.sealing import seals
from audit.sealing.sealer import seal
from audit.sealing.sinks import DirectorySink
from audit.services import record_many
from audit.verifier import proofs
from tests.audit.support import SIGNING_KEY
from tests.bench import trees
from tests.bench.audit_offline import ORIGIN, entry
from tests.bench.measure import Figure, Run, Subject, of_size

LEAVES = {"tiny": 3_200, "quick": 200_000, "full": 10_000_000}
PROOFS = {"tiny": 20, "quick": 200, "full": 2_000}
NEW = 100


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A sealed and signed tree, and a lot that draws its leaves."""
    leaves, number = of_size(size, LEAVES), of_size(size, PROOFS)
    choice = random.Random(10)
    with (
        tempfile.TemporaryDirectory() as folder,
        override_settings(FORGE_AUDIT_SIGNING_KEY=SIGNING_KEY, FORGE_AUDIT_ORIGIN=ORIGIN),
    ):
        trees.fill(leaves)
        with transaction.atomic():
            record_many(entry(one) for one in range(NEW))
        done = seal(sinks=[DirectorySink(Path(folder))])

        def run() -> Run:
            receipts = [trees.receipt(choice.randrange(leaves)) for _ in range(number)]
            began = time.perf_counter()
            found = [seals.prove(receipt) for receipt in receipts]
            seconds = time.perf_counter() - began
            for receipt, proof in zip(receipts, found, strict=True):
                proofs.verify_inclusion(
                    leaf=proofs.leaf_hash(receipt.log_hash),
                    index=proof.leaf.index,
                    size=proof.checkpoint.tree_size,
                    path=proof.path,
                    root=bytes(proof.checkpoint.root_hash),
                )
            return Run(seconds, number)

        def verify() -> dict[str, Any]:
            return {"leaves": done.tree_size, "hashes_in_a_path": len(seals.prove(trees.receipt(0)).path)}

        yield Subject(run, verify)


FIGURE = Figure(name="audit_proof_ms", goal=None, unit="ms", prepare=prepare, is_rate=False)
