"""The bare side of `launch_throughput_vs_bare_tx`: the rows of a launch by SQL, one transaction each, nothing asked.

It is given a launch that the product made, and writes its rows again for another person: the machine, its state change,
its operation, a reservation in each budget, and the audit entry, after it has locked, compared and raised the budgets.
It looks nobody and nothing up: not the person, team, blueprint, account or price, not which budgets bind, not whether
the person has a machine. The entry goes into the plain table of `bare/append.py`, without hash and lane, and its
content is the given one with other ids, so nothing is made canonical and no digest is reckoned. It takes no scope
rows and rings no bell. It is fair because both sides are the same client library in as many processes, threads and
connections, because every column of every row holds what the product writes there, and because PostgreSQL's triggers
and checks are the same; where there is a doubt it favours the bare side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from forge.db.ids import uuid7
from tests.bench.bare import append

_ROWS: dict[LiteralString, LiteralString] = {
    "workspaces_workspace": "id = %(machine)s",
    "workspaces_statechange": "workspace_id = %(machine)s",
    "operations_operation": "target_id = %(machine)s",
    "budgets_reservation": "workspace_id = %(machine)s",
    "audit_auditlog": "resource_id = %(machine)s::text AND action_type = 'WORKSPACE_PROVISION'",
}
_ENTRY = "audit_auditlog"
_COLUMNS = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''
       AND attgenerated = '' ORDER BY attnum
"""
_ARGUMENTS = "SELECT substr(unnest(proargnames), 3) FROM pg_proc WHERE proname = %s"
_LOCK = """
    SELECT spent + reserved + %s <= amount FROM budgets_budget WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_RAISE = """
    UPDATE budgets_budget SET reserved = reserved + %s, updated_at = statement_timestamp() WHERE id = ANY(%s)
"""


class NoRoom(Exception):
    """A budget cannot hold the machine."""


@dataclass(frozen=True)
class Person:
    """For whom a machine is launched."""

    id: UUID
    email: str
    directory_username: str


@dataclass(frozen=True)
class Pattern:
    """A launch as it was written: of each table its columns and its rows, all values as text."""

    rows: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str | None]]]]

    @classmethod
    def of(cls, connection: psycopg.Connection, machine: UUID) -> Pattern:
        """Read the rows of a machine's launch."""
        found = {}
        for table, where in _ROWS.items():
            asked = (_ARGUMENTS, append.CALL) if table == _ENTRY else (_COLUMNS, table)
            columns = [name for (name,) in connection.execute(*_of(*asked))]
            texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns)
            statement = sql.SQL("SELECT {} FROM {} WHERE {}").format(texts, sql.Identifier(table), sql.SQL(where))
            found[table] = (columns, connection.execute(statement, {"machine": machine}).fetchall())
        return cls(found)

    def value(self, table: str, column: str) -> list[str]:
        """One column of the rows of a table."""
        columns, rows = self.rows[table]
        return [row[columns.index(column)] or "" for row in rows]


class Launcher:
    """Writes launches after a pattern through one connection."""

    def __init__(self, connection: psycopg.Connection, pattern: Pattern) -> None:
        self._connection, self._pattern = connection, pattern
        self._statements = {table: _insert(table, *pattern.rows[table]) for table in _ROWS}
        self._needed = pattern.value("budgets_reservation", "amount")[0]
        self._budgets = [UUID(one) for one in pattern.value("budgets_reservation", "budget_id")]
        (self._machine,) = pattern.value("workspaces_workspace", "id")
        (self._owner,) = pattern.value("workspaces_workspace", "owner_id")
        (self._user,) = pattern.value("workspaces_workspace", "directory_user")
        (self._operation,) = pattern.value("operations_operation", "id")
        self._reservations = pattern.value("budgets_reservation", "id")

    def launch(self, person: Person) -> None:
        """The rows of one launch; raises NoRoom."""
        others = {
            self._machine: str(uuid7()),
            self._operation: str(uuid7()),
            self._owner: str(person.id),
            self._user: person.directory_username,
            self._pattern.value("workspaces_workspace", "name")[0]: f"{person.directory_username}-{uuid4().hex[:6]}",
            **{one: str(uuid7()) for one in self._reservations},
        }
        with self._connection.transaction():
            has_room = self._connection.execute(_LOCK, [self._needed, self._budgets]).fetchall()
            if not all(room for (room,) in has_room):
                raise NoRoom
            self._connection.execute(_RAISE, [self._needed, self._budgets])
            for table in _ROWS:
                _, rows = self._pattern.rows[table]
                self._connection.execute(
                    self._statements[table], [_other(value, others) for row in rows for value in row]
                )


def _of(statement: LiteralString, name: str) -> tuple[LiteralString, list[str]]:
    return statement, [name]


def _insert(table: str, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> sql.Composed:
    values = sql.SQL(", ").join(sql.SQL("%s") for _ in columns)
    if table == _ENTRY:
        return sql.SQL("SELECT {}({})").format(sql.Identifier(append.CALL), values)
    return sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.SQL("({})").format(values) for _ in rows),
    )


def _other(value: str | None, others: Mapping[str, str]) -> str | None:
    """The value, or what stands for it; ids are replaced inside the JSON of entry and operation too."""
    if value is None or value in others:
        return others.get(value or "")
    if value.startswith("{"):
        for old, new in others.items():
            value = value.replace(old, new)
    return value
