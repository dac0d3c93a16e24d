"""The simulator's memory on disk: one SQLite file, written in one transaction for each accepted call.

In WAL mode with synchronous=NORMAL a killed process loses nothing that it has answered; a power failure may lose the
last calls, never the file. The file is held exclusively, so two simulators cannot share it.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workspaces.simulator.clock import Anchor
from workspaces.simulator.machine import Machine, Modification

VERSION = 1
_IN_MEMORY = ":memory:"
_SCHEMA = """
CREATE TABLE machine (workspace_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE tags (
    account TEXT NOT NULL, region TEXT NOT NULL, resource_id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (account, region, resource_id)
);
CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
"""


class StateFileInUseError(Exception):
    """Another simulator holds the state file."""


class StateFileUnknownError(Exception):
    """The state file was written by another version, or is no state file at all."""


class Store:
    """Machines, tags and the clock's anchor; the caller's lock serializes the calls."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Open or make the file; without a path the state ends with the process."""
        self._connection = sqlite3.connect(
            path or _IN_MEMORY, check_same_thread=False, isolation_level=None, timeout=0.5
        )
        try:
            self._prepare(str(path or _IN_MEMORY))
        except (StateFileInUseError, StateFileUnknownError):
            self._connection.close()
            raise

    def _prepare(self, name: str) -> None:
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StateFileInUseError(f"{name} is held by another simulator, or cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StateFileUnknownError(f"{name} is no state file of the simulator: {error}.") from error
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")
        self._connection.execute("COMMIT")
        if version not in (0, VERSION):
            raise StateFileUnknownError(f"{name} is of version {version}, this simulator reads version {VERSION}.")

    def machines(self) -> Iterator[Machine]:
        """All machines ever, in the order of their creation."""
        for (body,) in self._connection.execute("SELECT body FROM machine ORDER BY rowid"):
            fields = json.loads(body)
            if fields["modification"] is not None:
                fields["modification"] = Modification(**fields["modification"])
            yield Machine(**fields)

    def tags(self) -> Iterator[tuple[str, str, str, dict[str, str]]]:
        """Account, region, resource id and tags, in the order of first tagging."""
        for account, region, resource_id, body in self._connection.execute(
            "SELECT account, region, resource_id, body FROM tags ORDER BY rowid"
        ):
            yield account, region, resource_id, json.loads(body)

    def anchor(self) -> Anchor | None:
        row = self._connection.execute("SELECT body FROM clock").fetchone()
        return Anchor(**json.loads(row[0])) if row else None

    def save_anchor(self, anchor: Anchor) -> None:
        self._connection.execute(
            "INSERT INTO clock (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (json.dumps(asdict(anchor)),),
        )

    def save(
        self, *, account: str, region: str, machines: Iterable[Machine], tags: Mapping[str, dict[str, Any]]
    ) -> None:
        """Record the machines and tag sets of one call together, or none of them."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT INTO machine (workspace_id, body) VALUES (?, ?) "
                "ON CONFLICT (workspace_id) DO UPDATE SET body = excluded.body",
                [(machine.workspace_id, json.dumps(asdict(machine))) for machine in machines],
            )
            self._connection.executemany(
                "INSERT INTO tags (account, region, resource_id, body) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (account, region, resource_id) DO UPDATE SET body = excluded.body",
                [(account, region, resource_id, json.dumps(body)) for resource_id, body in tags.items()],
            )
        except sqlite3.Error:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
