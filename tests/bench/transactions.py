"""Transactions of several statements with a pause in them, on many connections kept busy by one thread."""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Generator, Iterator, Sequence

from psycopg import pq

from tests.bench.crowd import Call

PAUSE = None
"""In place of a statement: the application works, and the transaction stays open meanwhile."""


class Transactions:
    """`size` connections that each run the same steps over and over: prepared statements, or PAUSE.

    A statement is sent when the one before it was answered, as an application does it, and BEGIN and COMMIT are
    statements like the others. A pause costs the client nothing, so its work stands for that of application servers
    elsewhere; epoll's clock makes it `pause` seconds at least and up to a millisecond more.
    """

    def __init__(self, url: str, steps: Sequence[str | None], size: int, *, pause: float) -> None:
        self._steps = [(str(number).encode(), step) for number, step in enumerate(steps)]
        self._pause = pause
        self._connections = [pq.PGconn.connect(url.encode()) for _ in range(size)]
        for connection in self._connections:
            for name, step in self._steps:
                if step is not PAUSE:
                    self._check(connection, connection.prepare(name, step.encode()))

    def run(self, transactions: Sequence[Sequence[Call]]) -> float:
        """Run all, each on whichever connection is free; the seconds until the last is committed.

        Of each: the arguments of its statements in their order, none for a pause.
        """
        waiting = iter(transactions)
        asleep: list[tuple[float, int]] = []
        by_socket = {connection.socket: self._work(connection, waiting) for connection in self._connections}
        busy = set(by_socket)
        poll = select.epoll()
        for socket in by_socket:
            poll.register(socket, select.EPOLLIN)

        def go_on(socket: int) -> None:
            try:
                if wakes_at := next(by_socket[socket]):
                    heapq.heappush(asleep, (wakes_at, socket))
            except StopIteration:
                busy.discard(socket)

        began = time.perf_counter()
        for socket in by_socket:
            go_on(socket)
        while busy:
            for socket, _ in poll.poll(max(0.0, asleep[0][0] - time.perf_counter()) if asleep else None):
                go_on(socket)
            while asleep and asleep[0][0] <= time.perf_counter():
                go_on(heapq.heappop(asleep)[1])
        seconds = time.perf_counter() - began
        poll.close()
        return seconds

    def close(self) -> None:
        for connection in self._connections:
            connection.finish()

    def _work(self, connection: pq.PGconn, waiting: Iterator[Sequence[Call]]) -> Generator[float | None, None, None]:
        """Yields when it has to wait: for something to read (None), or until a time of the clock."""
        for transaction in waiting:
            calls = iter(transaction)
            for name, step in self._steps:
                if step is PAUSE:
                    yield time.perf_counter() + self._pause
                    continue
                connection.send_query_prepared(name, next(calls))
                while not self._is_answered(connection):
                    yield None

    def _is_answered(self, connection: pq.PGconn) -> bool:
        connection.consume_input()
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
