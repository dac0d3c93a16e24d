"""Locks that PostgreSQL keeps: by name, and how long to wait for any."""

import hashlib

from django.db import connections


def advisory_key(*parts: object) -> int:
    """The signed 64-bit key of a named advisory lock; the same parts give the same key in every process."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def advisory_lock(*parts: object, using: str = "default") -> None:
    """Hold the advisory lock named by `parts` until the transaction ends, waiting for whoever has it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key(*parts)])


def lock_timeout(seconds: float, using: str = "default") -> None:
    """Let no statement of this transaction wait longer for one lock; PostgreSQL then raises 55P03."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(seconds * 1000)}ms"])


def statement_timeout(seconds: float, using: str = "default") -> None:
    """Let no statement of this transaction run longer; PostgreSQL then raises 57014."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{round(seconds * 1000)}ms"])
