"""A sealer in a process of its own, as a worker of the job queue is: it seals while it is told to, else it is idle.

`python -m tests.bench.sealer FOLDER` publishes to that folder. It reads lines: after `go` it makes one pass after the
other, EVERY seconds apart, until `stop`; then it ends the pass that it is in and answers what the passes did, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

from audit.sealing.sealer import seal
from audit.sealing.sinks import DirectorySink
from forge.env import BASE_DIR

EVERY = 1.0
"""Seconds from the beginning of one pass to the next; the beat's are five."""


class Sealer:
    """The other end of such a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()  # it is ready

    def go(self) -> None:
        self._tell("go")

    def stop(self) -> dict[str, Any]:
        """Wait until the pass under way has ended; answers `passes`, `sealed` and `faults` since `go`."""
        self._tell("stop")
        return self._answer()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sealer ended with status {self._process.wait()}")
        return json.loads(line)


@contextlib.contextmanager
def sealer(folder: Path, *, signing_key: str) -> Iterator[Sealer]:
    """Start one on the database of the environment, wait until it is ready, and end it afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sealer", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
        env={**os.environ, "FORGE_AUDIT_SIGNING_KEY": signing_key},
    ) as process:
        yield Sealer(process)


def main(folder: Path) -> None:
    django.setup()
    print("{}", flush=True)
    for line in iter(sys.stdin.readline, ""):
        if line.strip() == "go":
            print(json.dumps(_seal_until_told(folder)), flush=True)


def _seal_until_told(folder: Path) -> dict[str, Any]:
    """Passes until there is something to read, which is `stop`."""
    passes, sealed, faults = 0, 0, []
    wait = 0.0
    while not passes or not select.select([sys.stdin], [], [], wait)[0]:
        began = time.monotonic()
        done = seal(sinks=[DirectorySink(folder)])
        passes, sealed, faults = passes + 1, sealed + done.sealed, [*faults, *done.faults, *done.failures.values()]
        wait = max(0.0, EVERY - (time.monotonic() - began))
    return {"passes": passes, "sealed": sealed, "faults": faults}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
