"""A crowd that writes, rolls back and is killed, beside a sealer: the log stays whole."""

import random
import threading
from collections import Counter

import psycopg
import pytest
from django.db import connections

from audit.sealing.sealer import seal
from tests.audit.whole import append_over, check_whole

pytestmark = [
    pytest.mark.soak,
    pytest.mark.servers,
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
]

WRITERS = 24


class Crowd:
    """Writers on connections of their own; `receipts` are those whose commit was acknowledged."""

    def __init__(self, connect, *, transactions):
        self._connect = connect
        self._transactions = transactions
        self._lock = threading.Lock()
        self.pids = {}
        self.receipts = []
        self.counts = Counter()
        self.over = threading.Event()

    def run(self, *beside):
        others = [threading.Thread(target=one) for one in beside]
        writers = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        for thread in (*others, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        self.over.set()
        for thread in others:
            thread.join()

    def _write(self, writer):
        choices, one = random.Random(writer), None
        for number in range(self._transactions):
            try:
                one = one or self._connected(writer)
                receipts = [append_over(one, number) for _ in range(choices.choice((1, 1, 1, 3)))]
                is_kept = choices.random() >= 0.2
                one.commit() if is_kept else one.rollback()
            except psycopg.OperationalError:
                self._tell("killed", ())
                one = None
                continue
            self._tell("committed" if is_kept else "rolled back", receipts if is_kept else ())

    def _connected(self, writer):
        one = self._connect()
        self.pids[writer] = one.info.backend_pid
        return one

    def _tell(self, what, receipts):
        with self._lock:
            self.counts[what] += 1
            self.receipts += receipts


def test_24_writers_with_rollbacks_and_killed_connections_beside_a_sealer(
    scale, make_app_connection, superuser_connection, outside, record_testsuite_property
):
    """A fifth of the transactions roll back, a killer ends server processes at random, whatever they are doing."""
    crowd = Crowd(make_app_connection, transactions=scale(2000, 70))
    passes, choices = [], random.Random(3)

    def kill():
        while not crowd.over.wait(0.05):
            if pids := list(crowd.pids.values()):
                superuser_connection.execute("SELECT pg_terminate_backend(%s)", [choices.choice(pids)])

    def seal_on():
        try:
            while not crowd.over.wait(scale(1, 0) or 0.2):
                passes.append(seal())
        finally:
            connections.close_all()

    crowd.run(kill, seal_on)
    passes.append(seal())

    counted = check_whole(crowd.receipts, outside=outside)
    record_testsuite_property("writers", {**crowd.counts, **counted})
    assert [one.faults for one in passes if one.faults] == []
    assert sum(one.sealed for one in passes) == counted["entries"] >= counted["acknowledged"] >= scale(50_000, 1_500)
    assert counted["checkpoints"] == sum(one.sealed > 0 for one in passes)
    assert crowd.counts["killed"] >= scale(100, 3)
    assert 0.15 < crowd.counts["rolled back"] / crowd.counts.total() < 0.25
    assert 1 < counted["lanes"] <= WRITERS
