"""What one request has left in the log so far, kept in a context variable while it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.http import HttpRequest

from audit.receipts import Receipt


@dataclass(frozen=True)
class Left:
    """One entry that stands: its receipt and its result."""

    receipt: Receipt
    result: str


@dataclass
class Trail:
    """The entries that one request has left, in the order in which their transactions committed."""

    request: HttpRequest
    committed: list[Left] = field(default_factory=list)

    def entries(self) -> list[Left]:
        """Committed entries, and those that an outer transaction, still open, would commit (as in a test)."""
        pending = (callback for _, callback, *_ in connection.run_on_commit)
        return self.committed + [note.left for note in pending if isinstance(note, _Note) and note.trail is self]


@dataclass(frozen=True)
class _Note:
    trail: Trail
    left: Left

    def __call__(self) -> None:
        self.trail.committed.append(self.left)


_current: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


@contextmanager
def follow(request: HttpRequest) -> Iterator[Trail]:
    """Keep what is recorded inside the block as the trail of `request`."""
    trail = Trail(request)
    token = _current.set(trail)
    try:
        yield trail
    finally:
        _current.reset(token)


def note(receipt: Receipt, result: str) -> Receipt:
    """Remember an entry for the request under way, if any, once its transaction commits.

    `request.audit_receipt` is the last receipt at once: what is stored in the same transaction may need it.
    """
    if (trail := _current.get()) is not None:
        trail.request.audit_receipt = receipt  # type: ignore[attr-defined]
        transaction.on_commit(_Note(trail, Left(receipt, result)))
    return receipt
