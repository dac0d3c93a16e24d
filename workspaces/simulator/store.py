"""The simulator's memory on disk: one SQLite file, written in one transaction for each accepted call.

A call writes the rows that it changed and no others, however many machines there are. In WAL mode with
synchronous=NORMAL a killed process loses nothing that it has answered; a power failure may lose the last calls, never
the file. The file is held exclusively, so two simulators cannot share it.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from workspaces.simulator.clock import Anchor
from workspaces.simulator.history import History
from workspaces.simulator.machine import Fate, Machine, Modification
from workspaces.simulator.usage import show_usage, usage_of

VERSION = 2
_IN_MEMORY = ":memory:"

_SCHEMA = """
CREATE TABLE machine (workspace_id TEXT PRIMARY KEY, body TEXT NOT NULL, history BLOB NOT NULL);
CREATE TABLE tags (
    account TEXT NOT NULL, region TEXT NOT NULL, resource_id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (account, region, resource_id)
);
CREATE TABLE record (
    account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (account, region, kind, name)
);
CREATE TABLE usage_rule (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
"""
_FIELDS = tuple(field.name for field in fields(Machine))

Records = Mapping[tuple[str, str], dict[str, Any] | None]


class StateFileInUseError(Exception):
    """Another simulator holds the state file."""


class StateFileUnknownError(Exception):
    """The state file was written by another version, or is no state file at all."""


class Store:
    """Machines with their history, tags, records and the clock's anchor; the caller's lock serializes the calls."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Open or make the file; without a path nothing is written and the state ends with the process."""
        self._keeps = path is not None
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

    def machines(self) -> Iterator[tuple[Machine, History]]:
        """All machines ever, in the order of their creation."""
        for body, history in self._connection.execute("SELECT body, history FROM machine ORDER BY rowid"):
            yield _machine(json.loads(body)), History(history)

    def tags(self) -> Iterator[tuple[str, str, str, dict[str, str]]]:
        """Account, region, resource id and tags, in the order of first tagging."""
        for account, region, resource_id, body in self._connection.execute(
            "SELECT account, region, resource_id, body FROM tags ORDER BY rowid"
        ):
            yield account, region, resource_id, json.loads(body)

    def records(self) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
        """Account, region, kind, name and body, in the order of their creation."""
        for *key, body in self._connection.execute(
            "SELECT account, region, kind, name, body FROM record ORDER BY rowid"
        ):
            account, region, kind, name = key
            yield account, region, kind, name, json.loads(body)

    def usage_rules(self) -> list[dict[str, Any]]:
        rows = self._connection.execute("SELECT body FROM usage_rule ORDER BY number")
        return [json.loads(body) for (body,) in rows]

    def save_usage_rules(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Keep these rules and no others."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DELETE FROM usage_rule")
        self._connection.executemany("INSERT INTO usage_rule (body) VALUES (?)", [(json.dumps(one),) for one in rules])
        self._connection.execute("COMMIT")

    def anchor(self) -> Anchor | None:
        row = self._connection.execute("SELECT body FROM clock").fetchone()
        return Anchor(**json.loads(row[0])) if row else None

    def save_anchor(self, anchor: Anchor) -> None:
        self._connection.execute(
            "INSERT INTO clock (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (json.dumps(asdict(anchor)),),
        )

    def save(
        self,
        *,
        account: str,
        region: str,
        machines: Iterable[tuple[Machine, History]],
        tags: Mapping[str, dict[str, str]],
        records: Records,
    ) -> None:
        """Record the machines, tag sets and records of one call together, or none of them; a record of None ends."""
        if not self._keeps:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT INTO machine (workspace_id, body, history) VALUES (?, ?, ?) "
                "ON CONFLICT (workspace_id) DO UPDATE SET body = excluded.body, history = excluded.history",
                [(machine.workspace_id, json.dumps(_body(machine)), history.packed()) for machine, history in machines],
            )
            self._connection.executemany(
                "INSERT INTO tags (account, region, resource_id, body) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (account, region, resource_id) DO UPDATE SET body = excluded.body",
                [(account, region, resource_id, json.dumps(body)) for resource_id, body in tags.items()],
            )
            self._save_records(account, region, records)
        except sqlite3.Error:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _save_records(self, account: str, region: str, records: Records) -> None:
        self._connection.executemany(
            "DELETE FROM record WHERE (account, region, kind, name) = (?, ?, ?, ?)",
            [(account, region, *key) for key, body in records.items() if body is None],
        )
        self._connection.executemany(
            "INSERT INTO record (account, region, kind, name, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (account, region, kind, name) DO UPDATE SET body = excluded.body",
            [(account, region, *key, json.dumps(body)) for key, body in records.items() if body is not None],
        )

    def close(self) -> None:
        self._connection.close()


def _body(machine: Machine) -> dict[str, Any]:
    body = {name: getattr(machine, name) for name in _FIELDS}
    body |= {name: asdict(body[name]) for name in ("modification", "fate") if body[name] is not None}
    return body if machine.usage is None else body | {"usage": json.dumps(show_usage(machine.usage))}


def _machine(body: dict[str, Any]) -> Machine:
    if body["modification"] is not None:
        body["modification"] = Modification(**body["modification"])
    if body["fate"] is not None:
        body["fate"] = Fate(**body["fate"])
    if body["usage"] is not None:
        body["usage"] = usage_of(body["usage"])
    return Machine(**body)
