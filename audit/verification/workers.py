"""Work in several processes, its results in the order of its parts."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import django

from audit.verification.findings import CannotDecide
from forge.db import scope

AHEAD = 3
"""Parts that are handed out for each process beyond the one that is waited for, so that none stands idle."""

Part = TypeVar("Part")
Result = TypeVar("Result")


def _begin() -> None:
    """A fresh process looks at the whole log, as the one that began it (docs/isolation.md)."""
    django.setup()
    scope.process_is_system()


def in_order(work: Callable[[Part], Result], parts: Iterable[Part], *, jobs: int) -> Iterator[Result]:
    """`work` of each part, here or in `jobs` fresh processes with connections of their own.

    Whatever `work` raises in a process is raised here; CannotDecide when a process ended before its work did.
    """
    if jobs == 1:
        yield from map(work, parts)
        return
    # Spawned, not forked: a forked process would share this one's connections.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    pending: deque[Future[Result]] = deque()
    try:
        for part in parts:
            pending.append(pool.submit(work, part))
            if len(pending) > jobs * AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise CannotDecide("A process of --jobs ended before its work was done.") from error
    finally:
        pool.shutdown(cancel_futures=True)
