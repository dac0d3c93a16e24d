"""A handler that does what a test tells it, and the world in which it works."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from forge.db.ids import uuid7
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
KIND = "test.work"
# Fixed, because they stand in the names of tests, which must be the same in each worker of a run.
ORGANIZATION, TEAM, OWNER = UUID(int=1), UUID(int=2), UUID(int=3)


class Killed(BaseException):
    """What a worker that is killed does to the code it runs: nothing after this line happens."""


def succeed(claim: Claim) -> None:
    with transaction.atomic():
        claim.lock()
        claim.succeed({"done_by": claim.token})


class ScriptedHandler(Handler):
    """Runs `script`, and notes which of its hooks were called."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.script: Callable[[Claim], None] = succeed
        self.exhausted_script: Callable[[Claim], None] | None = None
        self.refusal: Exception | None = None
        self.ran: list[UUID] = []
        self.calls: list[tuple[str, Any]] = []

    def run(self, claim: Claim) -> None:
        self.ran.append(claim.operation.id)
        self.script(claim)

    def lock_first(self, operation: Operation) -> None:
        self.calls.append(("lock_first", None))

    def cancel(self, operation: Operation, *, actor: Any, now: datetime) -> None:
        self._note("cancel", actor)

    def cancel_requested(self, operation: Operation, *, actor: Any, now: datetime) -> None:
        self._note("cancel_requested", actor)

    def retry(self, operation: Operation, *, actor: Any, now: datetime) -> None:
        self._note("retry", actor)

    def on_exhausted(self, claim: Claim) -> None:
        self.calls.append(("on_exhausted", claim.failures))
        if self.exhausted_script is not None:
            self.exhausted_script(claim)
        else:
            super().on_exhausted(claim)

    def _note(self, name: str, actor: Any) -> None:
        self.calls.append((name, actor))
        if self.refusal is not None:
            raise self.refusal


scripted = ScriptedHandler()


@dataclass
class Person:
    """As much of a user as operations ask for."""

    id: UUID = field(default_factory=uuid7)
    organization_id: UUID | None = ORGANIZATION
    roles: tuple[str, ...] = ("engineer",)
    teams: tuple[UUID, ...] = ()
    is_operator: bool = False
    is_authenticated: bool = True
    is_active: bool = True
    email: str = "ann@example.com"

    @property
    def pk(self) -> UUID:
        return self.id

    def has_role(self, *roles: str) -> bool:
        return any(role in roles for role in self.roles)

    def led_team_ids(self) -> list[UUID]:
        return list(self.teams)


@dataclass(frozen=True)
class Actor:
    """As much of audit's actor as operations ask for."""

    user: Person | None = None

    @property
    def user_id(self) -> UUID | None:
        return self.user.id if self.user else None


def at(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(index)` in so many threads that all begin at once, each with a connection of its own."""
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait()
        try:
            return work(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
