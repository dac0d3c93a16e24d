"""The parts that the verification of rows is cut into, each done by itself in whatever process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import DataError, OperationalError

from audit.receipts import LANE_SHIFT
from audit.verification import rows_sql as sql
from audit.verification.findings import SHOWN, Finding
from audit.verification.queries import fetch

_LIMITS = "54"
"""Class of the SQLSTATEs of program limits, such as 54001 for brackets that are nested too deeply."""

_OFFSET_BITS = 16
"""A row's place in its table as one number: block << 16 | offset."""

_ANY_MONTH = {"first": datetime.min.replace(tzinfo=UTC), "end": datetime.max.replace(tzinfo=UTC)}
"""For statements about rows in whatever month: the erasures that vouch for them are of any."""


@dataclass
class Found:
    """What one part came to: its name and share of the whole, rows seen, bad ones, and what is told of them."""

    name: str
    share: float
    rows: int = 0
    bad_rows: int = 0
    bad: list[Finding] = field(default_factory=list)
    links: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Blocks:
    """The rows of a partition, [first, end), in a range of its blocks."""

    name: str
    share: float
    first: datetime
    end: datetime
    low: int
    high: int

    def check(self) -> Found:
        found = Found(self.name, self.share)
        self._check(found, self.low << _OFFSET_BITS, self.high << _OFFSET_BITS)
        return found

    def _check(self, found: Found, low: int, high: int) -> None:
        bounds = {"first": self.first, "end": self.end, "low": _tid(low), "high": _tid(high)}
        if not _count(found, bounds, sql.COUNT_ROWS, sql.BAD_ROWS):
            if high - low > 1:
                middle = (low + high) // 2
                self._check(found, low, middle)
                self._check(found, middle, high)
            else:
                _unreadable(found, fetch(sql.PLACE, bounds))


@dataclass(frozen=True)
class Ids:
    """The rows of a lane whose id is in [low, high), wherever they stand."""

    share: float
    low: int
    high: int

    @property
    def name(self) -> str:
        return f"lane {self.low >> LANE_SHIFT}"

    def check(self) -> Found:
        found = Found(self.name, self.share)
        self._check(found, self.low, self.high)
        return found

    def _check(self, found: Found, low: int, high: int) -> None:
        bounds = {"low": low, "high": high} | _ANY_MONTH
        if not _count(found, bounds, sql.of_lane(sql.COUNT_ROWS), sql.of_lane(sql.BAD_ROWS)):
            places = fetch(sql.of_lane(sql.PLACE) + " ORDER BY id", bounds)
            ids = sorted({place[0] for place in places})
            if len(ids) > 1:
                middle = ids[len(ids) // 2]
                self._check(found, low, middle)
                self._check(found, middle, high)
            else:
                _unreadable(found, places)


@dataclass(frozen=True)
class Links:
    """The links of the rows that `statement` looks at; `bounds` says what is gone, too."""

    name: str
    statement: str
    bounds: dict[str, Any]

    def check(self) -> Found:
        rows = fetch(self.statement, self.bounds | {"limit": SHOWN})
        return Found(self.name, 0.0, links=list(_links(rows, self.bounds)))


Part = Blocks | Ids | Links


def check(part: Part) -> Found:
    """What is wrong in the part."""
    return part.check()


def place(lane: int, lane_seq: int) -> int:
    """The id of the row at that number of the lane."""
    return (lane << LANE_SHIFT) + lane_seq


def through(gone: dict[str, Any], lane: int, last_seq: int) -> int:
    """The number up to which nothing is missing after `last_seq`, because retention dropped what follows it."""
    for one, first, last in zip(gone["gone_lanes"], gone["gone_firsts"], gone["gone_lasts"], strict=True):
        if one == lane and first <= last_seq + 1 <= last:
            return last
    return last_seq


def missing(
    lane: int, last_seq: int, next_seq: int, partition: str | None, after: datetime | None, before: datetime | None
) -> Finding:
    """That the numbers between the two are not there."""
    count, first = next_seq - last_seq - 1, last_seq + 1
    detail = f"{count} row{'s are' if count > 1 else ' is'} missing from number {first} on"
    return Finding("missing_rows", detail, lane, place(lane, first), first, partition, after=after, before=before)


def _count(found: Found, bounds: dict[str, Any], count: str, bad: str) -> bool:
    """Count the rows and name the bad ones; False, and nothing counted, where one cannot be read at all."""
    try:
        ((rows, bad_rows),) = fetch(count, bounds)
    except (DataError, OperationalError) as error:
        if not _is_of_a_row(error):
            raise
        return False
    found.rows += rows
    found.bad_rows += bad_rows
    if bad_rows and (room := SHOWN - len(found.bad)) > 0:
        found.bad += [
            Finding("bad_row", f"its {check} does not hold", lane, id_, lane_seq, partition, timestamp)
            for id_, lane, lane_seq, partition, timestamp, check in fetch(bad, bounds | {"limit": room})
        ]
    return True


def _unreadable(found: Found, places: list[tuple]) -> None:
    found.rows += len(places) or 1
    found.bad_rows += len(places) or 1
    found.bad += [
        Finding("bad_row", "what it holds cannot be read as an entry", lane, id_, lane_seq, partition, timestamp)
        for id_, lane, lane_seq, partition, timestamp in places
    ]


def _is_of_a_row(error: Exception) -> bool:
    """Whether a row is at fault: a value that cannot be, or one too large or too deep for PostgreSQL to read."""
    limit = isinstance(error.__cause__, psycopg.Error) and (error.__cause__.sqlstate or "").startswith(_LIMITS)
    return isinstance(error, DataError) or limit


def _links(rows: list[tuple], gone: dict[str, Any]) -> Iterator[Finding]:
    for id_, lane, lane_seq, partition, timestamp, last_id, last_seq, last_partition, last_at in rows:
        if lane_seq == 1:
            yield Finding(
                "broken_link", "it is the first of its lane and names another before it", lane, id_, lane_seq,
                partition, timestamp,
            )  # fmt: skip
        elif last_id == id_ - 1:
            yield Finding(
                "broken_link", f"the row after it ({id_}) does not vouch for it", lane, last_id, last_seq,
                last_partition, last_at, before=timestamp,
            )  # fmt: skip
        elif (until := through(gone, lane, last_seq or 0)) == lane_seq - 1:
            detail = "it names another row before it than the one that was sealed there and dropped"
            yield Finding("broken_link", detail, lane, id_, lane_seq, partition, timestamp)
        else:
            yield missing(lane, until, lane_seq, last_partition or partition, last_at, timestamp)


def _tid(position: int) -> str:
    return f"({position >> _OFFSET_BITS},{position & ((1 << _OFFSET_BITS) - 1)})"
