"""Entries read for an export: exactly those that the log held at one moment, in order of time, a few at a time.

No transaction stays open between two reads: a snapshot kept for as long as a slow caller reads would keep dead heads
of lanes alive and slow down every append. What the log held is said by its heads instead: rows never change, so
whatever stands at or below the head that its lane had then is in, and what came later is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import orjson
from django.db import connection
from django.db.models import QuerySet

from audit.models import AuditLog
from forge.api.keysets import Keyset, Position
from forge.db.months import add_months, months

CHUNK = 500
"""Rows per read: an entry holds up to 64 KB of context and changes."""

_CUT = """
    SELECT greatest(clock_timestamp(), (SELECT max("timestamp") FROM audit_auditlog)),
           coalesce((SELECT jsonb_object_agg(lane, lane_seq) FROM audit_auditlane WHERE lane_seq > 0), '{}')::text
"""


@dataclass(frozen=True)
class Cut:
    """What the log held at one moment: how far each lane had come; none of its entries is later than `as_of`."""

    as_of: datetime
    heads: Mapping[str, int]  # lane, as JSON writes a key → number of its last row

    def holds(self, entry: AuditLog) -> bool:
        return entry.lane_seq <= self.heads.get(str(entry.lane), 0)


@dataclass(frozen=True)
class Place:
    """Where reading stands: behind the entry with this time and id."""

    timestamp: datetime
    id: int


def cut() -> Cut:
    """What the log holds now."""
    with connection.cursor() as cursor:
        cursor.execute(_CUT)
        as_of, heads = cursor.fetchone()
    return Cut(as_of, orjson.loads(heads))


def count(queryset: QuerySet[AuditLog], *, limit: int) -> tuple[int, Cut]:
    """How many of the rows the log holds now, counted up to `limit` + 1, and what it holds, both of one moment."""
    found, parameters = queryset.order_by().values("id")[: limit + 1].query.sql_with_params()
    with connection.cursor() as cursor:
        statement = f"WITH found AS ({found}) {_CUT}, (SELECT count(*) FROM found)"  # noqa: S608 - Django's and ours
        cursor.execute(statement, parameters)
        as_of, heads, number = cursor.fetchone()
    return number, Cut(as_of, orjson.loads(heads))


def entries(queryset: QuerySet[AuditLog], held: Cut, *, after: Place | None = None) -> Iterator[list[AuditLog]]:
    """The rows of `queryset` that the log held, oldest first, from behind `after` on, in lists of at most CHUNK.

    One statement reads within one month, so none is longer than a look through a month of the organization. A list
    may be empty: it is a sign of life.
    """
    keyset = Keyset.of(queryset, "timestamp", "timestamp", descending=False)
    first = after.timestamp if after else first_time()
    if first is None:
        return
    place = Position(after.timestamp, after.id) if after else None
    for month in months(first, held.as_of):
        end = add_months(month, 1)
        of_month = queryset.filter(timestamp__gte=_midnight(month), timestamp__lt=_midnight(end))
        while True:
            page = list(keyset.apply(of_month.filter(timestamp__lte=held.as_of), place)[:CHUNK])
            yield [entry for entry in page if held.holds(entry)]
            if len(page) < CHUNK:
                break
            place = keyset.position_of(page[-1])
        place = None


def first_time() -> datetime | None:
    """The time of the oldest entry that is still in the log."""
    return AuditLog.objects.order_by("timestamp", "id").values_list("timestamp", flat=True).first()


def _midnight(day: Any) -> datetime:
    return datetime.combine(day, time.min, UTC)
