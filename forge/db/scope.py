"""Whose rows this thread may touch: the organization that PostgreSQL's row-level security compares every row with.

A scope is one organization, the system (all of them) or nobody (none). The database backend (forge.db.backend) tells
PostgreSQL the scope at the beginning of every transaction; the policies (forge.db.policies) obey it.

A request begins as nobody's and becomes its person's (forge.api.scoping). A task of Celery and a management command
begin in the system's scope, and work for one organization narrows it: `with scope.organization(id)`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

SETTING = "forge.organization"
"""The transaction-local setting in PostgreSQL: an organization's id, SYSTEM, or NOBODY."""

SYSTEM, NOBODY = "*", ""


@dataclass
class _Request:
    """The scope of a request, which changes once it is known who asks."""

    value: str = NOBODY


_request: ContextVar[_Request | None] = ContextVar("forge_request_scope", default=None)
_set: ContextVar[str | None] = ContextVar("forge_scope", default=None)
_of_process = [NOBODY]


def current() -> str:
    """The scope of this thread, as the setting has it."""
    value = _set.get()
    if value is not None:
        return value
    request = _request.get()
    return _of_process[0] if request is None else request.value


def process_is_system() -> None:
    """Let every thread of this process work in the system's scope, but for requests: commands, tests."""
    _of_process[0] = SYSTEM


def process_is_nobodys() -> bool:
    """Whether this process serves people or works for them, unlike a command."""
    return _of_process[0] == NOBODY


def of(organization_id: uuid.UUID | None) -> str:
    """The scope of somebody who belongs to that organization; who belongs to none runs the installation."""
    return SYSTEM if organization_id is None else str(uuid.UUID(str(organization_id)))


@contextmanager
def system() -> Iterator[None]:
    """All organizations: sweeps, sign-in, operators of the installation."""
    with _as(SYSTEM):
        yield


@contextmanager
def organization(organization_id: uuid.UUID) -> Iterator[None]:
    """The rows of one organization and those that belong to all."""
    with _as(str(uuid.UUID(str(organization_id)))):
        yield


@contextmanager
def request() -> Iterator[None]:
    """A request: nobody's until `belongs_to` is called inside, whatever the scope around it is."""
    outer, before = _set.set(None), _request.set(_Request())
    try:
        yield
    finally:
        _request.reset(before)
        _set.reset(outer)


def belongs_to(organization_id: uuid.UUID | None) -> None:
    """The request that is being answered is of a person of that organization; outside a request nothing happens."""
    if (request := _request.get()) is not None:
        request.value = of(organization_id)


def streamed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of an answer, each made in the scope of now, although the request is over by then."""
    return _each(iter(pieces), current())


def _each(pieces: Iterator[bytes], value: str) -> Iterator[bytes]:
    while True:
        with _as(value):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


@contextmanager
def _as(value: str) -> Iterator[None]:
    before = _set.set(value)
    try:
        yield
    finally:
        _set.reset(before)
