"""`audit_seal_cost_growth`: the time to seal 1,000 entries at 10 million leaves over the time at 100,000.

There are two trees in one database (`tests.bench.trees` says what was made), and the sealer looks at one or the other
by its search_path. Both end with the same last leaf of each lane, so the very same 1,000 entries, which the product's
functions append in ten lanes, wait for both. What is timed is a whole pass: connect, lock, compare with the directory
outside, read the peaks, write leaves, nodes and checkpoint, sign, publish. The log's own table holds the appended
entries alone on both sides: that the rows to seal are found by a primary key grows a tree's level with the log, and is
not in this figure. The bare side's tables lack the guards and the foreign key that the first have; that favours it.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.test import override_settings

from audit.sealing.sealer import newest, seal
from audit.sealing.sinks import DirectorySink
from audit.sealing.tree import StoredTree
from audit.services import record_many
from audit.verifier import proofs
from tests.audit.support import SIGNING_KEY
from tests.bench import trees
from tests.bench.audit_offline import entry
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size

LARGE = {"tiny": 3_200, "quick": 200_000, "full": 10_000_000}
SMALL = {"tiny": 320, "quick": 2_000, "full": 100_000}
ENTRIES, IN_LANES = 1_000, 10
ORIGIN = "forge.bench/audit"
PROOFS = 50
HERE, SECOND = "public", "bench_tree"


class Tree:
    """One of the two trees: where it lies, where its checkpoints go, and how many of the entries it has sealed."""

    def __init__(self, schema: str, size: int, folder: str) -> None:
        self.schema, self.size, self.sealed = schema, size, 0
        self._sink = DirectorySink(Path(folder))

    def seal(self) -> Run:
        """One pass; raises UnequalWork where it did not seal, sign and publish 1,000 entries without a fault."""
        with trees.looking_at(self.schema):
            began = time.perf_counter()
            done = seal(sinks=[self._sink])
            seconds = time.perf_counter() - began
        self.sealed += done.sealed
        if done.tree_size != self.size + self.sealed or not done.is_signed or not done.published:
            raise UnequalWork(f"the pass did something else: {done.figures()}")
        if done.faults or done.failures:
            raise UnequalWork(f"the pass told of {done.faults or done.failures}")
        return Run(seconds, done.sealed, {"audit_auditleaf": done.sealed})

    def check(self, choice: random.Random) -> None:
        """Leaves taken by lot are proved to be in the tree of the newest checkpoint; raises ProofError."""
        with trees.owner(self.schema) as reader:
            head, tree = newest(reader), StoredTree(reader)
            if head.size != self.size + self.sealed:
                raise UnequalWork(f"the newest checkpoint has {head.size} leaves, not {self.size + self.sealed}")
            for index in [*choice.sample(range(self.size), PROOFS), *range(head.size - PROOFS, head.size)]:
                row = reader.execute('SELECT hash FROM audit_auditleaf WHERE "index" = %s', [index]).fetchone()
                root = reader.execute("SELECT root_hash FROM audit_auditcheckpoint WHERE id = %s", [head.id]).fetchone()
                if row is None or root is None:
                    raise UnequalWork(f"leaf {index} or checkpoint {head.id} is gone")
                path = tree.inclusion_path(index, head.size)
                proofs.verify_inclusion(leaf=row[0], index=index, size=head.size, path=path, root=root[0])


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """The two trees, each with a directory for its checkpoints."""
    large, small = of_size(size, LARGE), of_size(size, SMALL)
    with (
        tempfile.TemporaryDirectory() as outside_large,
        tempfile.TemporaryDirectory() as outside_small,
        override_settings(FORGE_AUDIT_SIGNING_KEY=SIGNING_KEY, FORGE_AUDIT_ORIGIN=ORIGIN),
        trees.second(SECOND),
    ):
        trees.fill(large)
        trees.fill(small, skipped=large - small, schema=SECOND)
        both = Tree(HERE, large, outside_large), Tree(SECOND, small, outside_small)
        yield Sides(*(partial(_run, tree, both) for tree in both), verify=lambda: _verify(both))


def _run(tree: Tree, both: tuple[Tree, Tree]) -> Run:
    """Seal what waits for the tree; new entries are appended when both trees have sealed the last ones."""
    if both[0].sealed == both[1].sealed:
        _append()
    return tree.seal()


def _append() -> None:
    for lane in range(IN_LANES):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('forge.audit_lane', %s, true)", [str(lane)])
            record_many(entry(number) for number in range(ENTRIES // IN_LANES))


def _verify(both: tuple[Tree, Tree]) -> dict[str, Any]:
    """Both sealed the same entries, and what they proved holds."""
    large, small = both
    if large.sealed != small.sealed:
        raise UnequalWork(f"{large.sealed} entries were sealed in the large tree, {small.sealed} in the small one")
    choice = random.Random(4)
    for tree in both:
        tree.check(choice)
    return {"leaves_mine": large.size, "leaves_bare": small.size, "sealed_in_each": large.sealed}


BENCHMARK = Benchmark(name="audit_seal_cost_growth", goal=1.3, prepare=prepare, is_rate=False)
