"""`python -m tests.bench.peers.child SIDE`: one side in a process of its own, told by lines what to do.

`run N` makes N changes, each a transaction with its entry, and answers the seconds. `left` answers how many entries
the side's log holds and which of the twelve fields of the last one are not what was given. Answers are JSON.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import Any

import django

from forge.db import scope
from tests.bench.children import Told, serve
from tests.bench.peers.facts import Facts


class Side:
    """The module `work` of a side, and how many changes it has made."""

    def __init__(self, name: str) -> None:
        os.environ["DJANGO_SETTINGS_MODULE"] = f"tests.bench.peers.{name}.settings"
        django.setup()
        scope.process_is_system()
        self._work = import_module(f"tests.bench.peers.{name}.work")
        self._work.prepare()
        self._made = 0

    def run(self, changes: int) -> dict[str, Any]:
        began = time.perf_counter()
        for _ in range(changes):
            self._made += 1
            self._work.change(Facts(self._made))
        return {"seconds": time.perf_counter() - began}

    def left(self) -> dict[str, Any]:
        """The last entry's fields as text beside what they should be; the time only has to be there."""
        entries, last = self._work.left()
        facts = Facts(self._made)
        given = vars(facts) | {"user_id": self._work.USER_ID, "timestamp": last["timestamp"]}
        del given["revision"]
        wrong = sorted(name for name, value in given.items() if last.get(name) in (None, "") or last[name] != value)
        return {"entries": entries, "made": self._made, "fields": len(given), "wrong": wrong}


def main(name: str) -> None:
    side = Side(name)

    def handle(word: str, *rest: str) -> dict[str, Any]:
        return side.run(int(rest[0])) if word == "run" else side.left()

    serve(Told(), handle)


if __name__ == "__main__":
    main(sys.argv[1])
