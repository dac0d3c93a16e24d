"""The bare side of `metering_idle_vs_scan`: one look at every running machine, to see whether it has anything new.

It compares the time of each running machine's last change with the clock, in the database, and fetches two
numbers. It is fair because a sweep that keeps no list of what is due must look at least at this, and it need not even
bring a row to Python.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection

_SCAN = """
    SELECT count(*), count(*) FILTER (WHERE state_since > %s) FROM workspaces_workspace WHERE state = 'AVAILABLE'
"""


def scan(*, now: datetime) -> int:
    """How many machines were looked at."""
    with connection.cursor() as cursor:
        cursor.execute(_SCAN, [now])
        return cursor.fetchone()[0]
