"""One of the processes that launch machines for others, on eight connections, by the service or by bare SQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
from django.db import connections
from django.utils import timezone

from forge.accounts.models import User
from forge.db import scope
from forge.operations.models import Operation
from tests import world as worlds
from tests.bench.bare.launch import Launcher, Pattern, Person
from tests.bench.children import Told, serve
from workspaces import services
from workspaces.intents import LaunchSpec

CONNECTIONS = 8

Launch = Callable[[Person], object]


class Crew:
    """Eight threads with a connection each; `open_one` makes what launches in a thread."""

    def __init__(self, open_one: Callable[[], Launch]) -> None:
        self._open_one = open_one
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        gate = threading.Barrier(CONNECTIONS)
        for one in [self._pool.submit(self._open, gate) for _ in range(CONNECTIONS)]:
            one.result()

    def launch(self, people: Sequence[Person]) -> int:
        """Launch for all, each by whichever thread is free; what a launch raises is raised here."""
        return len(list(self._pool.map(self._launch, people)))

    def _launch(self, person: Person) -> None:
        self._own.launch(person)

    def _open(self, gate: threading.Barrier) -> None:
        self._own.launch = self._open_one()
        gate.wait()


def by_service(lead: str, machine: str) -> None:
    """Serve by the product's own service, as the lead, with what the launch of `machine` asked for."""
    actor = worlds.actor(User.objects.get(pk=lead))
    asked = _spec_of(machine)

    def open_one() -> Launch:
        connections["default"].ensure_connection()
        return lambda person: services.launch(
            actor=actor, spec=LaunchSpec(**asked, owner=person.email), now=timezone.now()
        )

    _serve(Crew(open_one))


def by_sql(lead: str, machine: str) -> None:
    """Serve by bare SQL after the launch of `machine`."""

    def open_one() -> Launch:
        connection = psycopg.connect(
            os.environ["DATABASE_URL"], autocommit=True, options=f"-c {scope.SETTING}={scope.SYSTEM}"
        )
        return Launcher(connection, Pattern.of(connection, UUID(machine))).launch

    _serve(Crew(open_one))


def _serve(crew: Crew) -> None:
    """`ready FIRST COUNT` reads who the people with these numbers are, `go` launches for them."""
    waiting: list[Person] = []

    def handle(word: str, *numbers: str) -> dict[str, Any]:
        if word == "go":
            return {"done": crew.launch(waiting)}
        first, count = map(int, numbers)
        names = [f"bench{number}" for number in range(first, first + count)]
        rows = User.objects.filter(directory_username__in=names).values_list("id", "email", "directory_username")
        waiting[:] = [Person(*row) for row in rows]
        return {"people": len(waiting)}

    serve(Told(), handle)


def _spec_of(machine: str) -> dict[str, Any]:
    """What the launch of a machine asked for, as its operation keeps it."""
    asked = Operation.objects.values_list("spec", flat=True).get(target_id=machine)
    return {**asked, "blueprint_id": UUID(asked["blueprint_id"]), "application_ids": tuple(asked["application_ids"])}
