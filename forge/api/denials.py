"""Counts of 401 and 429 answers, and of all that is answered to requests without a credential, so that a flood of them
leaves two audit entries a minute instead of thousands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

_NOBODY = "nobody:"
"""What stands for the credential, with status and result behind it, where there was none; the row's status is 401."""

_NOTE = """
    INSERT INTO api_denialcount (source_ip, credential_prefix, status, minute, count, last_at)
    VALUES (%s, %s, %s, date_trunc('minute', %s::timestamptz), 1, %s)
    ON CONFLICT (minute, source_ip, credential_prefix, status)
    DO UPDATE SET count = api_denialcount.count + 1, last_at = greatest(api_denialcount.last_at, EXCLUDED.last_at)
    RETURNING count
"""

_TAKE = """
    DELETE FROM api_denialcount WHERE id IN (
        SELECT id FROM api_denialcount WHERE minute < date_trunc('minute', %s::timestamptz)
        ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    )
    RETURNING source_ip, credential_prefix, status, minute, count, last_at
"""


@dataclass(frozen=True)
class ClosedCount:
    """A minute that is over: `count` answers in all, of which the first has its own audit entry already.

    `result` is that entry's where the answers are other ones than 401 and 429, to requests without a credential.
    """

    source_ip: str
    credential_prefix: str
    status: int
    minute: datetime
    count: int
    last_at: datetime
    result: str = ""

    @classmethod
    def of_row(cls, source_ip: str, prefix: str, status: int, *times: Any) -> ClosedCount:
        if not prefix.startswith(_NOBODY):
            return cls(source_ip, prefix, status, *times)
        _, answered, result = prefix.split(":")
        return cls(source_ip, "", int(answered), *times, result)


def note(source_ip: str, prefix: str, status: int, now: datetime) -> bool:
    """Count one 401 or 429; True for the first of its address, credential prefix and minute.

    The caller writes the audit entry of the first in the same transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [source_ip[:45], prefix[:32], status, now, now])
        return cursor.fetchone()[0] == 1


def note_nobody(source_ip: str, status: int, result: str, now: datetime) -> bool:
    """Count one answer to a request without a credential; True for the first of its address, kind and minute."""
    return note(source_ip, f"{_NOBODY}{status}:{result}", 401, now)


def take_closed(now: datetime, *, limit: int = 1000) -> tuple[int, list[ClosedCount]]:
    """Remove at most `limit` minutes before `now`'s; returns how many, and those with more than their first answer.

    Those are oldest first; none is left where none was removed. Must run in the transaction that writes their closing
    entries: rolled back, the counts are there again. Rows that another sweep holds are passed over.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [now, limit])
        closed = [ClosedCount.of_row(*row) for row in cursor.fetchall()]
    return len(closed), sorted((one for one in closed if one.count > 1), key=lambda one: one.minute)
