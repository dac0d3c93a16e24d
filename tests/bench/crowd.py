"""Many connections kept busy by one thread: a client so light that what is measured is the server."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence

from psycopg import pq

Call = Sequence[bytes | None]
"""The arguments of one statement, as PostgreSQL reads them in text form."""

_STATEMENT = b"crowd"


class Crowd:
    """`size` connections that each send one prepared statement after the other, every one its own transaction.

    Threads would spend more on taking turns in Python than the server spends on an append.
    """

    def __init__(self, url: str, statement: str, size: int) -> None:
        self._connections = [pq.PGconn.connect(url.encode()) for _ in range(size)]
        for connection in self._connections:
            self._check(connection, connection.prepare(_STATEMENT, statement.encode()))
            connection.nonblocking = 1

    def run(self, calls: Sequence[Call]) -> float:
        """Send all calls, each by whichever connection is free; the seconds until the last answer."""
        waiting = iter(calls)
        poll = select.epoll()
        by_socket = {connection.socket: connection for connection in self._connections}
        began = time.perf_counter()
        busy = sum(self._send(connection, waiting, poll) for connection in self._connections)
        while busy:
            for socket, _ in poll.poll():
                connection = by_socket[socket]
                if connection.flush() == 0:
                    poll.modify(socket, select.EPOLLIN)
                connection.consume_input()
                if self._is_answered(connection):
                    busy -= not self._send(connection, waiting, poll, again=True)
        seconds = time.perf_counter() - began
        poll.close()
        return seconds

    def close(self) -> None:
        for connection in self._connections:
            connection.finish()

    @staticmethod
    def _send(connection: pq.PGconn, waiting: Iterator[Call], poll: select.epoll, *, again: bool = False) -> bool:
        call = next(waiting, None)
        if call is None:
            return False
        connection.send_query_prepared(_STATEMENT, call)
        events = select.EPOLLIN | (select.EPOLLOUT if connection.flush() else 0)
        (poll.modify if again else poll.register)(connection.socket, events)
        return True

    def _is_answered(self, connection: pq.PGconn) -> bool:
        while not connection.is_busy():
            result = connection.get_result()
            if result is None:
                return True
            self._check(connection, result)
        return False

    @staticmethod
    def _check(connection: pq.PGconn, result: pq.PGresult) -> None:
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise RuntimeError(f"the server refused: {connection.get_error_message()}")
