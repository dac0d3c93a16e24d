"""The parts of a demo as children: started in order, watched, restarted with back-off, stopped together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from forge.db.embedded.processes import ServerFailed, spawn, stop, tail, wait_until
from forge.env import BASE_DIR

LONGEST_PAUSE = 30.0
STEADY_AFTER = 60.0
"""A part that lived this many seconds starts with the shortest pause again."""
PATIENCE = 15.0
"""Seconds that a part has to end when asked."""


class Server(Protocol):
    """Something that runs as one child: a command, or an embedded server."""

    process: subprocess.Popen | None

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Command:
    """A child that is just a command line; `ready`, where given, says when it serves."""

    arguments: list[str]
    env: dict[str, str]
    log: Path
    ready: Callable[[], bool] | None = None
    within: float = 180.0
    process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = spawn(self.arguments, log=self.log, env=self.env, cwd=BASE_DIR)
        if self.ready and not wait_until(self.ready, process=self.process, within=self.within):
            self.stop()
            raise ServerFailed(f"It did not start; {self.log} ends with:\n{tail(self.log)}")

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, within=PATIENCE)
            kill_session(self.process.pid)
            self.process = None


@dataclass
class Part:
    """A named server of the demo and how its last starts went."""

    name: str
    server: Server
    started_at: float = 0.0
    quick_ends: int = 0
    restart_at: float | None = None

    @property
    def is_alive(self) -> bool:
        return self.server.process is not None and self.server.process.poll() is None


@dataclass
class Family:
    """All parts in the order of their start; they stop in the opposite order."""

    say: Callable[[str], None]
    changed: Callable[[dict[str, int]], None]
    parts: list[Part] = field(default_factory=list)

    def start(self, name: str, server: Server) -> None:
        part = Part(name, server)
        self.parts.append(part)
        self._start(part)

    def look(self) -> None:
        """Say which part has ended since the last look, and start it again when its pause is over."""
        for part in self.parts:
            if part.restart_at is None and not part.is_alive:
                self._plan_restart(part)
            elif part.restart_at is not None and time.monotonic() >= part.restart_at:
                try:
                    self._start(part)
                except ServerFailed as error:
                    self.say(f"{part.name}: {error}")
                    self._plan_restart(part)
                else:
                    self.say(f"{part.name} is running again.")

    def stop(self) -> None:
        """Ask the parts that work for others to end, all at once, then the servers they need, one by one."""
        for part in self.parts:
            if isinstance(part.server, Command) and part.server.process is not None:
                part.server.process.terminate()  # says nothing to one that has ended
        for part in reversed(self.parts):
            part.server.stop()
        self.changed({})

    def kill(self) -> None:
        """End everything at once, as a second Ctrl-C asks."""
        for part in self.parts:
            if part.server.process is not None:
                kill_session(part.server.process.pid)

    def _start(self, part: Part) -> None:
        part.started_at, part.restart_at = time.monotonic(), None
        part.server.start()
        self.changed({part.name: part.server.process.pid for part in self.parts if part.server.process is not None})

    def _plan_restart(self, part: Part) -> None:
        steady = time.monotonic() - part.started_at > STEADY_AFTER
        part.quick_ends = 0 if steady else part.quick_ends + 1
        pause = min(LONGEST_PAUSE, 2.0 ** max(0, part.quick_ends - 1))
        how = describe_end(part.server.process)
        if part.server.process is not None:
            kill_session(part.server.process.pid)  # what a killed part has left behind of its own children
        part.restart_at = time.monotonic() + pause
        self.say(f"{part.name} {how}; it starts again in {pause:.0f} s.")


def describe_end(process: subprocess.Popen | None) -> str:
    if process is None:
        return "did not start"
    if process.returncode is not None and process.returncode < 0:
        return f"was ended by {signal.Signals(-process.returncode).name}"
    return f"ended by itself with status {process.returncode}"


def kill_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
