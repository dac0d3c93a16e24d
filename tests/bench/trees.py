"""Merkle trees of a given size without the years that it takes to fill them, and the entries that go on from them.

Made by set-based SQL, not by the product: the leaves, level by level all complete subtrees above them, and the heads of
the lanes, which the product's append functions go on from. Leaf `i` stands in lane `i % LANES`; what would be its
entry's `log_hash` is SHA-256 of `i` in eight bytes, so the receipt of every leaf is known. The entries themselves are
not made: sealing reads none below a lane's head, and a proof none at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator

import psycopg
from django.db import connections
from psycopg import sql

from audit.receipts import Receipt

LANES = 16
TABLES = ("audit_auditleaf", "audit_auditnode", "audit_auditcheckpoint", "audit_auditpublication")

_LEAVES = """
    INSERT INTO audit_auditleaf ("index", lane, lane_seq, hash)
    SELECT i, i %% %(lanes)s, %(before)s + i / %(lanes)s + 1,
           sha256('\\x00'::bytea || sha256(int8send(%(skipped)s + i)))
      FROM generate_series(0, %(size)s - 1) AS i
"""
_FIRST_NODES = """
    INSERT INTO audit_auditnode (level, "index", hash)
    SELECT 1, "index" / 2, sha256('\\x01'::bytea || hash || next)
      FROM (SELECT "index", hash, lead(hash) OVER (ORDER BY "index") AS next FROM audit_auditleaf) AS leaf
     WHERE "index" % 2 = 0 AND next IS NOT NULL
"""
_NEXT_NODES = """
    INSERT INTO audit_auditnode (level, "index", hash)
    SELECT %(level)s, "index" / 2, sha256('\\x01'::bytea || hash || next)
      FROM (SELECT "index", hash, lead(hash) OVER (ORDER BY "index") AS next
              FROM audit_auditnode WHERE level = %(level)s - 1) AS node
     WHERE "index" %% 2 = 0 AND next IS NOT NULL
"""
_HEADS = """
    UPDATE audit_auditlane SET lane_seq = %(last)s, log_hash = sha256(int8send(%(first)s + lane)) WHERE lane < %(lanes)s
"""


def fill(size: int, *, skipped: int = 0, schema: str = "public") -> None:
    """Fill the tree in `schema` with `size` leaves, those of a tree of `skipped + size` without the first `skipped`.

    So two trees of different size can end with the same last leaf of each lane, and the same entries go on from both.
    Both numbers are multiples of LANES.
    """
    with owner(schema) as connection:
        values = {"lanes": LANES, "size": size, "skipped": skipped, "before": skipped // LANES}
        connection.execute(_LEAVES, values)
        connection.execute(_FIRST_NODES)
        level = 2
        while connection.execute(_NEXT_NODES, {"level": level}).rowcount:
            level += 1
        total = skipped + size
        connection.execute(_HEADS, {"lanes": LANES, "last": total // LANES, "first": total - LANES})
        for table in ("audit_auditleaf", "audit_auditnode"):
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


def receipt(index: int) -> Receipt:
    """The receipt of leaf `index` of a tree that skipped none."""
    return Receipt(index % LANES, index // LANES + 1, hashlib.sha256(index.to_bytes(8, "big")).digest())


@contextlib.contextmanager
def second(schema: str) -> Iterator[None]:
    """A second, empty tree with its checkpoints, in a schema of its own; gone afterwards.

    It has the columns, checks and indexes of the first, but neither triggers nor the publications' foreign key.
    """
    with owner("public") as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for table in TABLES:
            connection.execute(
                sql.SQL("CREATE TABLE {}.{} (LIKE public.{} INCLUDING ALL)").format(
                    sql.Identifier(schema), sql.Identifier(table), sql.Identifier(table)
                )
            )
        try:
            yield
        finally:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@contextlib.contextmanager
def looking_at(schema: str) -> Iterator[None]:
    """What connects as `owner` meanwhile, the sealer, finds the tree of `schema`, and everything else in `public`."""
    options = connections["owner"].settings_dict["OPTIONS"]
    before = options.get("options", "")
    options["options"] = f"{before} -c search_path={schema},public".strip()
    try:
        yield
    finally:
        options["options"] = before


@contextlib.contextmanager
def owner(schema: str) -> Iterator[psycopg.Connection]:
    """The database's owner, who looks into `schema` first; each statement commits by itself."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [f"{schema},public"])
        yield connection
