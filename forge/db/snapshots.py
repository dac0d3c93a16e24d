"""One instant of the database, for what is read by more statements than one and has to agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def one_instant(using: str = "default") -> Iterator[None]:
    """A read-only REPEATABLE READ transaction of its own: what its first statement sees, all of them see.

    Rows that die meanwhile are kept from vacuum until it ends, so nothing within may wait for a person or a network.
    Raises RuntimeError inside another transaction.
    """
    with transaction.atomic(using=using, durable=True):
        with connections[using].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
