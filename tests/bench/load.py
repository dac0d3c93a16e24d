"""`api_p99_under_load`: how much longer the slowest in a hundred requests takes with 64 clients than with one.

gunicorn runs as in production (`Dockerfile`, `ops/kubernetes/base/web.yaml`): the gthread worker, preloaded, four
threads each; two workers. Each client keeps its connection and asks one request after the other: of ten, nine read
(machines, one machine, operations, budgets, what a launch would cost) and one launches a machine for somebody who has
none. The levels take turns, and each level does the same number of requests whatever its clients are.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections
from django.utils import timezone

from forge.accounts.models import User
from forge.accounts.token_services import issue_token
from forge.db.embedded.processes import LOOPBACK
from forge.db.ids import uuid7
from tests import factories
from tests import world as worlds
from tests.bench.admission import month_of, next_month
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size
from tests.bench.throughput import PEOPLE
from tests.bench.web import listening
from workspaces.models import WorkSpace

LEVELS = (1, 4, 16, 64)
REQUESTS = {"tiny": 64, "quick": 640, "full": 6_400}
"""Of each level in a round."""
ROUNDS = {"tiny": 1, "quick": 2, "full": 3}
WORKERS, THREADS = 2, 4
EVERY = 10
"""One request in so many launches."""


class Load:
    """The requests of all clients, each timed; `taken` has the seconds of each level, reads and launches apart."""

    def __init__(self, port: int, token: str, world: worlds.World, people: Iterator[str]) -> None:
        self._port, self._token, self._world, self._people = port, token, world, people
        self._lock = threading.Lock()
        machine = factories.WorkSpaceFactory(
            organization=world.organization, team=world.team, blueprint=world.blueprint, provider_account=world.account
        )
        self._reads = itertools.cycle(
            [
                "/api/v1/workspaces/",
                f"/api/v1/workspaces/{machine.pk}/",
                "/api/v1/operations/",
                "/api/v1/budgets/",
                "/api/v1/workspaces/?dry_run=true",
            ]
        )
        self._numbers = itertools.count(1)
        self.taken: dict[tuple[int, str], list[float]] = {}
        self.launched = 0

    def run(self, clients: int, requests: int) -> None:
        """So many requests by so many clients at once; raises UnequalWork for an answer that is none."""
        shares = [requests // clients] * clients
        with ThreadPoolExecutor(clients) as pool:
            for done in pool.map(self._client, shares):
                for kind, seconds in done:
                    self.taken.setdefault((clients, kind), []).append(seconds)

    def _client(self, requests: int) -> list[tuple[str, float]]:
        done = []
        with contextlib.closing(http.client.HTTPConnection(LOOPBACK, self._port, timeout=600)) as client:
            for _ in range(requests):
                kind, ask = self._next()
                began = time.perf_counter()
                ask(client)
                done.append((kind, time.perf_counter() - began))
        return done

    def _next(self) -> tuple[str, Callable[[http.client.HTTPConnection], None]]:
        """The next of ten requests, whoever asks it."""
        with self._lock:
            if next(self._numbers) % EVERY == 0:
                self.launched += 1
                body = self._world.body(owner=next(self._people), team=self._world.team.slug)
                return "launches", lambda client: self._send(client, "/api/v1/workspaces/", 202, body)
            path = next(self._reads)
            if "dry_run" not in path:
                return "reads", lambda client: self._send(client, path, 200)
            body = self._world.body(owner=next(self._people), team=self._world.team.slug)
            return "reads", lambda client: self._send(client, path, 200, body)

    def _send(self, client: http.client.HTTPConnection, path: str, status: int, body: Any = None) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if status == 202:
            headers["Idempotency-Key"] = str(uuid7())
        client.request("GET" if body is None else "POST", path, json.dumps(body) if body else None, headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status != status:
            raise UnequalWork(f"{path} answered {answer.status}: {text[:500]!r}")


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A team with budgets that hold every launch, people enough, and the server."""
    requests, rounds = of_size(size, REQUESTS), of_size(size, ROUNDS)
    world, now = worlds.build(), timezone.now()
    for scope, scope_id in (("TEAM", world.team.id), ("ORGANIZATION", world.organization.id)):
        factories.BudgetFactory(
            organization=world.organization,
            scope=scope,
            scope_id=scope_id,
            amount=10**9,
            period_start=month_of(now),
            period_end=next_month(month_of(now)),
            adopted_at=now,
        )
    count = len(LEVELS) * (rounds + 1) * requests
    with connection.cursor() as cursor:
        given = {"organization": world.organization.id, "team": world.team.id, "count": count, "now": now}
        cursor.execute(PEOPLE, given)
    lead = User.objects.get(pk=world.lead.pk)
    _, token = issue_token(actor=worlds.actor(lead), user=lead, name="bench", now=now)
    before = WorkSpace.objects.count()
    connections.close_all()
    with listening("forge.wsgi", workers=WORKERS, threads=THREADS) as port:
        load = Load(port, token, world, (f"bench{nr}@example.com" for nr in itertools.count()))

        def run() -> Run:
            load.run(max(LEVELS), max(LEVELS))  # each thread of the server opens its connection
            load.taken.clear()
            began = time.perf_counter()
            for _ in range(rounds):
                for clients in LEVELS:
                    load.run(clients, requests)
            return Run(time.perf_counter() - began, rounds * len(LEVELS) * requests, {"thousandths": _growth(load)})

        yield Subject(run=run, verify=lambda: _verify(load, before + 1))
    connections.close_all()


def _growth(load: Load) -> int:
    few, many = (_p99(_all_of(load, clients)) for clients in (min(LEVELS), max(LEVELS)))
    return round(1000 * many / few)


def _all_of(load: Load, clients: int) -> list[float]:
    return [*load.taken[clients, "reads"], *load.taken[clients, "launches"]]


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * (len(seconds) - 1))]


def _verify(load: Load, before: int) -> dict[str, Any]:
    """Every launch that was answered is a machine; the curve, in milliseconds."""
    machines = WorkSpace.objects.count() - before
    if machines != load.launched:
        raise UnequalWork(f"{machines} machines of {load.launched} launches")
    table = {}
    for clients in LEVELS:
        for kind in ("reads", "launches"):
            seconds = load.taken[clients, kind]
            table[f"{clients} clients, {kind}: p50 (ms)"] = round(1000 * sorted(seconds)[len(seconds) // 2], 1)
            table[f"{clients} clients, {kind}: p99 (ms)"] = round(1000 * _p99(seconds), 1)
        seconds = _all_of(load, clients)
        table[f"{clients} clients: requests per second"] = round(clients * len(seconds) / sum(seconds), 1)
    return {"launches": load.launched, "workers": WORKERS, "threads": THREADS, "table": table}


FIGURE = Figure(
    name="api_p99_under_load",
    goal=None,
    unit="times",
    prepare=prepare,
    is_rate=False,
    counted=lambda run: run.wrote["thousandths"] / 1000,
)
