"""The processes of a storm: the simulator behind its port, and workers that can be killed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def simulator(**durations: float) -> Iterator[str]:
    """The address of a simulator in a process of its own, by the wall clock; seconds that states take, by name."""
    command = [sys.executable, "-m", "workspaces.simulator", "--port", "0"]
    command += [f"--duration={state}={seconds}" for state, seconds in durations.items()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield found.group()
        finally:
            process.kill()


class Workers:
    """`with Workers(6, environment, folder) as workers`: so many at any time, whoever kills them."""

    def __init__(self, count: int, environment: Mapping[str, str], folder: Path) -> None:
        self.killed = 0
        self._listed = folder / "workers.json"
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.races.storm.nursery", str(count), str(self._listed)],
            cwd=ROOT,
            env=os.environ | environment,
            start_new_session=True,
        )

    def kill_one(self, chance: random.Random) -> None:
        """SIGKILL for one of them, wherever it is; nothing while there are none yet."""
        assert self._nursery.poll() is None
        if not self._listed.exists():
            return
        with suppress(ProcessLookupError):
            os.kill(chance.choice(json.loads(self._listed.read_text())["workers"]), signal.SIGKILL)
            self.killed += 1

    @property
    def began(self) -> float:
        """When the first of them was forked, by the steady clock of the machine."""
        return json.loads(self._listed.read_text())["began"]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *failure: object) -> None:
        """End the nursery and all that it has forked."""
        with suppress(ProcessLookupError):
            os.killpg(self._nursery.pid, signal.SIGKILL)
        self._nursery.wait(timeout=30)
