"""Processes of a benchmark that are told what to do by lines and answer with lines of JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from forge.env import BASE_DIR


class Child:
    """The other end of such a process."""

    def __init__(self, process: subprocess.Popen[str], to: IO[str], back: IO[str]) -> None:
        self._process, self._to, self._back = process, to, back

    def tell(self, line: str) -> None:
        self._to.write(f"{line}\n")
        self._to.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next line; raises RuntimeError where the process has ended instead."""
        line = self._back.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with status {self._process.wait()}")
        return json.loads(line)

    def ask(self, line: str) -> dict[str, Any]:
        self.tell(line)
        return self.answer()


@contextlib.contextmanager
def child(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A `starting` one that is ready."""
    with starting(module, *arguments, env=env) as one:
        one.answer()
        yield one


@contextlib.contextmanager
def starting(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """`python -m module arguments` in our environment and `env`; its first answer will say that it is ready.

    It ends when there is nothing more to read.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
        env={**os.environ, **(env or {})},
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes cannot be talked to")
        yield Child(process, process.stdin, process.stdout)


class Told:
    """In the child: what it is told. Read without a buffer, so that what was not read yet is seen by `waits`."""

    def __init__(self) -> None:
        self._lines = io.FileIO(0, closefd=False)

    def words(self) -> list[str]:
        """The words of the next line; none when the other end has gone."""
        return self._lines.readline().decode().split()

    def waits(self, seconds: float) -> bool:
        """Whether there is a line to read within so many seconds."""
        return bool(select.select([self._lines], [], [], seconds)[0])


def serve(told: Told, handle: Callable[..., dict[str, Any]]) -> None:
    """In the child: say that it is ready, then answer each line with what `handle` makes of its words."""
    print("{}", flush=True)
    while words := told.words():
        print(json.dumps(handle(*words)), flush=True)
