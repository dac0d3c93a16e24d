"""`audit_insert_vs_peers`: entries per second by Forge over those of the fastest peer in the same round.

The peers are django-auditlog, django-pghistory and django-simple-history (`tests.bench.peers` says how each is used).
Every side does the same in a process of its own, on one connection: fetch the user, then in a transaction fetch the
machine, change and save it, and leave one entry with the same twelve fields. Afterwards the last entry of each side is
read back and all twelve must be what was given. What is timed is the whole change, because three of the four write when
the model is saved and cannot be timed apart. A round runs all four, and its ratio is ours to whichever peer was the
fastest in it. Where there is a doubt it favours the peers: ours has seven indexes for look-ups and a hash chain, theirs
what they come with.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

from django.db import connections
from psycopg import sql

from tests.bench.children import Child, child
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.bench.peers.common import schema_of
from tests.bench.trees import owner

CHANGES = {"tiny": 10, "quick": 200, "full": 5_000}
FORGE = "with_forge"
PEERS = {
    "with_auditlog": "django-auditlog",
    "with_pghistory": "django-pghistory",
    "with_simple_history": "django-simple-history",
}

_SCHEMA = """
    CREATE SCHEMA {schema};
    GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
    ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE ON TABLES TO PUBLIC;
"""


class Side:
    """A side in its process, and its entries per second in each run so far."""

    def __init__(self, process: Child) -> None:
        self._process = process
        self.rates: list[float] = []

    def run(self, changes: int) -> Run:
        seconds = self._process.ask(f"run {changes}")["seconds"]
        self.rates.append(changes / seconds)
        return Run(seconds, changes)

    def left(self) -> dict[str, Any]:
        return self._process.ask("left")


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """Four children, each with its tables and its machine."""
    changes = of_size(size, CHANGES)
    connections.close_all()
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(_side(name)) for name in (FORGE, *PEERS)}
        order = list(PEERS)

        def fastest_peer() -> Run:
            order.append(order.pop(0))  # each begins in turn
            return min((sides[name].run(changes) for name in order), key=lambda run: run.seconds)

        yield Sides(mine=lambda: sides[FORGE].run(changes), bare=fastest_peer, verify=lambda: _verify(sides))


def _verify(sides: dict[str, Side]) -> dict[str, Any]:
    """Each side left one entry per change, and the last says all that was given."""
    left = {name: side.left() for name, side in sides.items()}
    if bad := {name: one for name, one in left.items() if one["wrong"] or one["entries"] != one["made"]}:
        raise UnequalWork(f"entries that are missing or do not say what was given: {bad}")
    if len({one["made"] for one in left.values()}) != 1:
        raise UnequalWork(f"the sides did not do equally much: {left}")
    # The first run of each only warmed up.
    medians = {name: round(statistics.median(side.rates[1:]), 1) for name, side in sides.items()}
    return {
        "entries_each": left[FORGE]["entries"],
        "fields": left[FORGE]["fields"],
        "table": {f"{known_as} (entries/s)": medians[name] for name, known_as in {FORGE: "forge", **PEERS}.items()},
    }


@contextlib.contextmanager
def _side(name: str) -> Iterator[Side]:
    """The side's schema and its process; both gone afterwards."""
    schema = sql.Identifier(schema_of(name))
    with owner("public") as connection:
        connection.execute(sql.SQL(_SCHEMA).format(schema=schema))
        try:
            with child("tests.bench.peers.child", name) as process:
                yield Side(process)
        finally:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))


BENCHMARK = Benchmark(name="audit_insert_vs_peers", goal=1.0, prepare=prepare, is_rate=True)
