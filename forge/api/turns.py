"""Whose turn it is to have a file written at once: one for each person, and so many in each web process.

A file is written whole before its first byte, and whoever asked for it may be gone long before: without a limit a few
that were given up take every thread of the web processes. A turn lasts in its process until the file is sent, though it
is whole before: sending takes a thread too, for as long as its reader likes, and as many slow readers as a process has
threads leave it none to answer anybody else. Over all processes it lasts while the file is written, as a lock of that
transaction, which a pooler leaves where it is. Entries of the audit log are read while they are sent (InTurn), and that
lock lasts while they are counted.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Generator, Iterator
from threading import Lock

from django.conf import settings
from django.db import connection

from forge.api.errors import TooMany
from forge.db.locks import advisory_key

_taking = Lock()
_held: set[uuid.UUID] = set()
"""Who has a turn in this process. Leaving it takes no lock: a garbage collection may do it at any point."""


class ExportUnderWay(TooMany):
    code = "export_under_way"
    title = "A file is being written for you already, or still being sent"
    suggested_action = "Wait until you have the whole of it, then ask again."
    retry_after = 10


class ExportsBusy(TooMany):
    code = "exports_busy"
    title = "As many files are being written and sent as can be at once"
    suggested_action = "Try again after the seconds in Retry-After."
    retry_after = 10


def take(person: uuid.UUID) -> None:
    """Begin a turn of `person` in this process, which ends by `leave`; raises ExportUnderWay, ExportsBusy."""
    with _taking:
        if person in _held:
            raise ExportUnderWay()
        if len(_held) >= settings.FORGE_EXPORTS_AT_ONCE:
            raise ExportsBusy()
        _held.add(person)


def leave(person: uuid.UUID) -> None:
    """End the turn that `take` began."""
    _held.discard(person)


def require_alone(person: uuid.UUID) -> None:
    """Keep every other process from writing a file for `person` until this transaction ends; raises ExportUnderWay."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [advisory_key("forge.api.turns", person)])
        if not cursor.fetchone()[0]:
            raise ExportUnderWay()


class InTurn:
    """Pieces that are made while they are sent: the turn ends when they are closed, or forgotten without that."""

    def __init__(self, person: uuid.UUID, pieces: Generator[bytes]) -> None:
        self._pieces = pieces
        self._leave = weakref.finalize(self, leave, person)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        self._pieces.close()
        self._leave()
