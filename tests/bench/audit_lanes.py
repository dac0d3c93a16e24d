"""`audit_append_vs_single_chain_early` and `_late`: lanes over one hash chain behind one lock, in transactions.

Both sides run the same transaction on 32 connections: BEGIN, UPDATE of a business row of its own, append, 5 ms of the
application's work on the client's side, COMMIT (early); or with the work before the append (late). Each statement is
sent when the one before it was answered. The chain's lock is held from the append to the end of the commit, so early
it is held through the work. The lanes append in the same place of the transaction and hold theirs as long.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
from django.db import connection

from audit.verification.rows import verify
from tests.bench.audit_append import ARGUMENTS, FUNCTION, LOG, call, count
from tests.bench.bare import chain
from tests.bench.crowd import Call
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.bench.transactions import PAUSE, Transactions

CONNECTIONS = 32
WORK_SECONDS = 0.005
TRANSACTIONS = {"tiny": 64, "quick": 320, "full": 6_400}

_UPDATE = "UPDATE bench_business SET changes = changes + 1 WHERE id = $1"
_INSTALL = """
    CREATE TABLE bench_business (id integer PRIMARY KEY, changes integer NOT NULL) WITH (fillfactor = 50);
    INSERT INTO bench_business SELECT id, 0 FROM generate_series(1, {rows}) AS id;
    GRANT SELECT, UPDATE ON bench_business TO PUBLIC;
"""


@contextlib.contextmanager
def prepare(size: str, *, early: bool) -> Iterator[Sides]:
    """32 connections for each side, and a business row for every transaction of a run."""
    total = of_size(size, TRANSACTIONS)
    calls = [_transaction(number) for number in range(total)]
    ran = {LOG: 0, chain.TABLE: 0}

    def run(crowd: Transactions, table: str) -> Run:
        before = count(table)
        seconds = crowd.run(calls)
        ran[table] += 1
        return Run(seconds, count(table) - before)

    with (
        _business(total),
        chain.installed(),
        _crowd(FUNCTION, early=early) as mine,
        _crowd(chain.CALL, early=early) as bare,
    ):
        yield Sides(
            mine=partial(run, mine, LOG), bare=partial(run, bare, chain.TABLE), verify=lambda: _verify(total, ran)
        )


def _verify(total: int, ran: dict[str, int]) -> dict[str, Any]:
    """Each transaction left one entry and one change of its row; the log is whole and so is the chain."""
    with connection.cursor() as cursor:
        cursor.execute(chain.BROKEN_LINKS)
        (broken,) = cursor.fetchone()
        cursor.execute(f"SELECT lane_seq FROM {chain.HEAD}")
        (head,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM bench_business WHERE changes <> %s", [sum(ran.values())])
        (unequal,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM audit_auditlane WHERE lane_seq > 0")
        (lanes,) = cursor.fetchone()
    left = {table: count(table) for table in ran}
    report = verify()
    is_whole = report.is_intact and not broken and head == left[chain.TABLE] and not unequal
    if not is_whole or left != {table: runs * total for table, runs in ran.items()}:
        raise UnequalWork(
            f"entries: {left}; business rows not changed as often as they should be: {unequal}; broken links of the"
            f" chain: {broken}, its head: {head}; the log's faults: {report.findings}"
        )
    return {
        "connections": CONNECTIONS, "work_ms": 1000 * WORK_SECONDS, "rows_mine": left[LOG],
        "rows_bare": left[chain.TABLE], "lanes": lanes,
    }  # fmt: skip


def _transaction(number: int) -> list[Call]:
    """The arguments of BEGIN, UPDATE, append and COMMIT: the pause, early or late, takes none."""
    return [[], [str(number + 1).encode()], call(number), []]


@contextlib.contextmanager
def _business(rows: int) -> Iterator[None]:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        owner.execute(_INSTALL.format(rows=rows))
        try:
            yield
        finally:
            owner.execute("DROP TABLE bench_business")


@contextlib.contextmanager
def _crowd(function: str, *, early: bool) -> Iterator[Transactions]:
    append = f"SELECT {function}({', '.join(f'${number}' for number in range(1, len(ARGUMENTS) + 1))})"
    last = [append, PAUSE] if early else [PAUSE, append]
    crowd = Transactions(
        os.environ["DATABASE_URL"], ["BEGIN", _UPDATE, *last, "COMMIT"], CONNECTIONS, pause=WORK_SECONDS
    )
    try:
        yield crowd
    finally:
        crowd.close()


EARLY = Benchmark(name="audit_append_vs_single_chain_early", goal=8, prepare=partial(prepare, early=True), is_rate=True)
LATE = Benchmark(
    name="audit_append_vs_single_chain_late", goal=1.5, prepare=partial(prepare, early=False), is_rate=True
)
