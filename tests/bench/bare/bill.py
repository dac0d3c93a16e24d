"""The bare side of `cur_import_vs_copy`: PostgreSQL's own COPY of the same file, as fast as it takes one.

It is told the columns, checks nothing, matches nothing and changes no record: it parses the CSV and writes every column
of every line as text into a table without index, key or log. That is less than an import can do with it, which is the
point: it is the floor of getting such a file into PostgreSQL at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

PIECE_BYTES = 1024 * 1024
SCHEMA = "bench"
TABLE = sql.Identifier(SCHEMA, "bill")
"""Apart from Forge's tables, whose rights and rows are counted."""


def make_table(columns: Sequence[str]) -> None:
    """A table of text columns, not logged."""
    made = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in columns)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        owner.execute(sql.SQL("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}").format(sql.Identifier(SCHEMA)))
        owner.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(TABLE, made))


def empty() -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        owner.execute(sql.SQL("TRUNCATE {}").format(TABLE))


def copy(path: Path) -> int:
    """Copy the file; returns how many lines."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], connect_timeout=10) as owner, owner.cursor() as cursor:
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER true)").format(TABLE)
        with path.open("rb") as file, cursor.copy(statement) as target:
            while piece := file.read(PIECE_BYTES):
                target.write(piece)
        return cursor.rowcount
