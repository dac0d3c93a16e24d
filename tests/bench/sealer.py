"""A sealer in a process of its own, as a worker of the job queue is: it seals while it is told to, else it is idle.

`python -m tests.bench.sealer FOLDER` publishes to that folder. After the line `go` it makes one pass after the other,
EVERY seconds apart, until the line `stop`; then it ends the pass that it is in and answers what the passes did:
`passes`, `sealed` and `faults`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import django

from forge.db import scope
from tests.bench.children import Told, serve

EVERY = 1.0
"""Seconds from the beginning of one pass to the next; the beat's are five."""


def seal_until_told(seal: Callable[[], Any], told: Told, word: str) -> dict[str, Any]:
    """Passes until there is a line to read: the `stop` after this `go`."""
    if word != "go":
        raise ValueError(f"{word!r} is neither go nor the stop after it")
    passes, sealed, faults = 0, 0, []
    wait = 0.0
    while not passes or not told.waits(wait):
        began = time.monotonic()
        done = seal()
        passes, sealed, faults = passes + 1, sealed + done.sealed, [*faults, *done.faults, *done.failures.values()]
        wait = max(0.0, EVERY - (time.monotonic() - began))
    told.words()
    return {"passes": passes, "sealed": sealed, "faults": faults}


if __name__ == "__main__":
    django.setup()
    scope.process_is_system()
    sealer, sinks = import_module("audit.sealing.sealer"), import_module("audit.sealing.sinks")  # they hold models
    lines = Told()
    serve(lines, partial(seal_until_told, partial(sealer.seal, sinks=[sinks.DirectorySink(Path(sys.argv[1]))]), lines))
