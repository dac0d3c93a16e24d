"""A partitioned, append-only table of the tests' own, made by the operations that the rooms' migrations use."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from django.db import connections
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from forge.db import partitions
from forge.db.operations import AppendOnly, DetachedMonths, PartitionedTable

TABLE = "test_ledger"
OPERATIONS = [
    PartitionedTable(
        TABLE,
        key="at",
        columns="""
            id bigserial NOT NULL,
            at timestamptz NOT NULL,
            amount numeric(12, 4) NOT NULL,
            person text,
            salt bytea,
            PRIMARY KEY (id, at),
            CONSTRAINT test_ledger_amount CHECK (amount > 0)
        """,
    ),
    AppendOnly(TABLE, allow_update_of=("person", "salt")),
    DetachedMonths(TABLE, key="at", allow_update_of=("person", "salt")),
]


def apply(operation: Operation) -> None:
    with connections["owner"].schema_editor() as editor:
        operation.database_forwards("test", editor, ProjectState(), ProjectState())


def reverse(operation: Operation) -> None:
    with connections["owner"].schema_editor() as editor:
        operation.database_backwards("test", editor, ProjectState(), ProjectState())


def owner_query(sql: str, params: list[Any] | None = None) -> list[tuple]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def insert(at: datetime, amount: str = "1.0000") -> None:
    owner_query(f"INSERT INTO {TABLE} (at, amount, person, salt) VALUES (%s, %s, 'ada', 'pepper')", [at, amount])


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The answers of `count` threads that do `work(number)` at the same time, each on connections of its own."""

    def run(number: int) -> Any:
        with closing(connections["default"]), closing(connections["owner"]):
            return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.fixture
def ledger(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the table, which is the only one that forge.db.partitions then knows."""
    monkeypatch.setattr(partitions, "TABLES", {TABLE: "at"})
    for operation in OPERATIONS:
        apply(operation)
    yield TABLE
    for operation in reversed(OPERATIONS):
        reverse(operation)
