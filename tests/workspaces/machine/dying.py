"""A process that dies between any two lines of the product."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connection

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("forge/operations", "workspaces", "costs", "budgets")
IMMORTAL = ("workspaces/simulator", "workspaces/models")


class Killed(BaseException):
    """What a process that is killed does to the code that it runs."""


@contextmanager
def mortal(lines: int | None) -> Iterator[None]:
    """Run what is inside in a process that dies before its line number `lines`, or lives (None).

    The lines of the product that this thread comes to are counted, those of libraries are not. Below zero it dies
    after so many commits, before whatever line comes next. PostgreSQL rolls back what was open, AWS keeps what it
    took, and nothing else is left of the process.
    """
    if lines is None:
        yield
        return
    left = lines

    def committed() -> None:
        nonlocal left
        commit()
        left += left < 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if not _is_ours(frame.f_code.co_filename):
            return None
        if event == "line":
            left -= left > 0
            if left == 0:
                sys.settrace(None)
                raise Killed
        return trace

    before, commit = sys.gettrace(), connection._commit
    connection._commit = committed  # type: ignore[method-assign]
    sys.settrace(trace)
    try:
        yield
    except Killed:
        sys.settrace(before)
        _hang_up()
    finally:
        sys.settrace(before)
        del connection._commit


def _hang_up() -> None:
    """Close the connection to PostgreSQL as the end of a process does, also where a transaction was never left."""
    if connection.connection is not None:
        connection.connection.close()
        connection.connection = None


@cache
def _is_ours(file: str) -> bool:
    path = Path(file)
    if not path.is_relative_to(ROOT):
        return False
    own = path.relative_to(ROOT).as_posix()
    return own.startswith(ROOMS) and not own.startswith(IMMORTAL) and "/migrations/" not in own
