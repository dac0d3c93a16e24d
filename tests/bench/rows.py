"""How many rows were really written, as PostgreSQL itself counts them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from django.db import connection

from tests.bench.measure import Run

_WRITTEN = """
    SELECT coalesce(pg_partition_root(relid), relid)::regclass::text, sum(n_tup_ins + n_tup_upd)::bigint
      FROM pg_stat_user_tables GROUP BY 1
"""


def written() -> Counter[str]:
    """Rows inserted and updated since the server started, by table; partitions count as their parent."""
    with connection.cursor() as cursor:
        # A session hands its counts on when it is idle, at most once a second unless asked.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(_WRITTEN)
        return Counter(dict(cursor.fetchall()))


def timed(work: Callable[[], int], *, besides: Mapping[str, str] | None = None) -> Run:
    """Run `work`, which answers how much it did, and count what it wrote; `besides` renames tables."""
    before = written()
    began = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - began
    wrote = written() - before
    return Run(seconds, done, dict(sorted(wrote.items())))
