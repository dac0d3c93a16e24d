"""Real threads with connections of their own, all let loose at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, connections

Given = TypeVar("Given")
Made = TypeVar("Made")


def at_once(work: Callable[[Given], Made], things: Sequence[Given]) -> list[Made | Exception]:
    """`work(thing)` for every thing, each in a thread of its own; what it returns or raises, in order."""
    gate = threading.Barrier(len(things))

    def run(thing: Given) -> Made | Exception:
        try:
            connections["default"].ensure_connection()
            gate.wait(timeout=60)
            return work(thing)
        except Exception as error:  # noqa: BLE001  (the test looks at every one of them)
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=len(things)) as pool:
        return list(pool.map(run, things))


def wait_until_somebody_waits_for_a_lock() -> None:
    """Polls the server's own view of who waits, which stands still within a transaction unless it is told to look."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE NOT l.granted AND a.datname = current_database())"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waited for a lock within a minute")
