"""Real threads with connections of their own, all let loose at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

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
