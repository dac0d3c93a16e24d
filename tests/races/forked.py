"""Processes of their own for tests, forked from one that has loaded Forge already, as Celery forks its workers.

Each has its own connections and can be killed at any moment; what it saves is seconds of start-up, for each.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.races.loaded"])


def start(main: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run `main(*arguments)`, a function of a module, in a new process; it ends with us at the latest."""
    process = _CONTEXT.Process(target=main, args=arguments, daemon=True)
    process.start()
    return process
