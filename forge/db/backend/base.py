"""Django's PostgreSQL backend, in which each transaction begins with the scope of its thread.

The scope travels with the first statement of a transaction, and with each statement in autocommit, as
`SET LOCAL forge.organization = '…'; SELECT …`: one message, no round trip more. PostgreSQL takes such a message for one
transaction, so the setting is gone with it, which a pooler that shares sessions between transactions depends on. A
scope that changes within a transaction travels with the next statement.

The alias `owner` never goes through such a pooler and may need statements that refuse any company (DETACH …
CONCURRENTLY): its sessions are the system's from their beginning, by a parameter of the start that PgBouncer refuses.
"""

from __future__ import annotations

import selectors
from typing import Any, cast

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, operations
from psycopg import sql
from psycopg.pq import ExecStatus, TransactionStatus

from forge.db import scope

OWNER = "owner"
_UNKNOWN = None
"""What PostgreSQL has after a savepoint was rolled back, which takes back what was set since."""

_ANSWERS_WITHIN = 3.0
"""Seconds in which a kept connection has to answer before it is used again."""

_SET = f"SET LOCAL {scope.SETTING} = "


class ScopedConnection(psycopg.Connection):
    """Remembers which scope the open transaction was told."""

    told: str | None = scope.NOBODY

    def untold(self) -> str | None:
        """The scope that the next statement has to tell, and from then on counts as told; None where it need not."""
        wanted = scope.current()
        is_idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        told = scope.NOBODY if is_idle else self.told
        self.told = scope.NOBODY if is_idle and self.autocommit else wanted
        return None if wanted == told else wanted


class ScopedCursor(psycopg.ClientCursor[Any]):
    """Puts the scope before a statement where the transaction has not been told yet."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> ScopedCursor:
        wanted = self._scoped.untold()
        if wanted is None:
            return super().execute(query, params, **options)
        super().execute(_before(query, _tell(wanted)), params, **options)
        self.nextset()  # the first result is the setting's
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        self._tell_apart("executemany")
        super().executemany(query, params_seq, **options)

    def copy(self, statement: Any, params: Any = None, **options: Any) -> Any:
        self._tell_apart("COPY")
        return super().copy(statement, params, **options)

    def _tell_apart(self, what: str) -> None:
        """Tell the scope in a statement of its own, for what takes no company; only a transaction remembers it."""
        if self._scoped.autocommit:
            if scope.current() != scope.NOBODY:
                raise psycopg.ProgrammingError(f"{what} needs a transaction, which is what the scope is told to.")
        elif (wanted := self._scoped.untold()) is not None:
            super().execute(_tell(wanted))

    @property
    def _scoped(self) -> ScopedConnection:
        return cast("ScopedConnection", self.connection)


class DatabaseOperations(operations.DatabaseOperations):
    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str:
        """The statement without the scope before it."""
        text = super().last_executed_query(cursor, sql, params)
        return text.partition("; ")[2] if text and text.startswith(_SET) else text


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
    _fit: set[tuple[str, str]] = set()
    """Servers and roles that were found to be fit to serve people; roles seldom change while a process runs."""

    @property
    def is_scoped(self) -> bool:
        return self.alias != OWNER

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        if self.is_scoped:
            return params | {"cursor_factory": ScopedCursor}
        given = params.get("options", "")
        return params | {"options": f"{given} -c {scope.SETTING}={scope.SYSTEM}".strip()}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not self.is_scoped:
            return super().get_new_connection(conn_params)
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return ScopedConnection.connect(**conn_params)

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if self.is_scoped and not settings.DEBUG and scope.process_is_nobodys():
            with psycopg.ClientCursor(self.connection) as cursor:
                self._refuse_the_almighty(cursor)

    def is_usable(self) -> bool:
        """Whether the server still answers a kept connection; Django's own waits for ever for one that is frozen."""
        if self.connection is None:
            return False
        try:
            return self._answers(self.connection.pgconn)
        except psycopg.Error:
            return False

    @staticmethod
    def _answers(pgconn: Any) -> bool:
        pgconn.send_query(b"SELECT 1")
        is_answered = False
        with selectors.DefaultSelector() as selector:
            selector.register(pgconn.socket, selectors.EVENT_READ)
            while True:
                while pgconn.is_busy():
                    if not selector.select(_ANSWERS_WITHIN):
                        return False
                    pgconn.consume_input()
                if (result := pgconn.get_result()) is None:
                    return is_answered
                is_answered = result.status == ExecStatus.TUPLES_OK

    def create_cursor(self, name: str | None = None) -> Any:
        """A cursor on the server only within a transaction: outside one it would not know the scope any more."""
        if name is None or not self.is_scoped:
            return super().create_cursor(name)
        if self.connection.autocommit:
            return super().create_cursor()
        if (wanted := self.connection.untold()) is not None:
            psycopg.ClientCursor(self.connection).execute(_tell(wanted))
        return super().create_cursor(name)

    def savepoint_rollback(self, sid: str) -> None:
        super().savepoint_rollback(sid)
        if self.is_scoped:
            self.connection.told = _UNKNOWN

    def _refuse_the_almighty(self, cursor: psycopg.Cursor) -> None:
        """Raise ImproperlyConfigured for a role that row-level security does not bind: nothing would isolate people."""
        server = (str(self.settings_dict.get("HOST")), str(self.settings_dict.get("USER")))
        if server in self._fit:
            return
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)")
        if (row := cursor.fetchone()) is not None:
            raise ImproperlyConfigured(
                f"DATABASE_URL connects as {row[0]}, a role that passes every policy: use one that is NOSUPERUSER and "
                "NOBYPASSRLS (docs/operations.md)."
            )
        self._fit.add(server)


def _tell(wanted: str) -> sql.SQL:
    return sql.SQL(f"{_SET}'{wanted}'")  # a UUID as Python writes it, or one of two words


def _before(query: Any, tell: sql.SQL) -> Any:
    if isinstance(query, sql.Composable):
        return tell + sql.SQL("; ") + query
    text = f"{tell.as_string()}; "
    return text.encode() + query if isinstance(query, bytes) else text + query
