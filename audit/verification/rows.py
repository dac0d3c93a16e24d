"""Is the log whole? Every row against its hashes, every row against the one before it, every lane against its head.

The database does the work in pieces and answers with what is wrong, so the size of the log does not matter here.
Appending goes on meanwhile: rows never change, and heads are compared with rows within one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import psycopg
from django.db import DataError, OperationalError

from audit.receipts import LANE_SHIFT
from audit.verification import dropped as drops
from audit.verification import rows_sql as sql
from audit.verification.dropped import Dropped
from audit.verification.findings import SHOWN, CannotDecide, Finding, Report
from audit.verification.queries import fetch
from forge.db import detached, partitions
from forge.db.months import add_months
from forge.db.partitions import Partition

BLOCKS = 16_384
"""Table blocks per piece: 128 MB, some 60,000 rows."""

_LIMITS = "54"
"""Class of the SQLSTATEs of program limits, such as 54001 for brackets that are nested too deeply."""

_OFFSET_BITS = 16
"""A row's place in its table as one number: block << 16 | offset."""


@dataclass(frozen=True)
class Part:
    """One partition, [first, end), and its size in blocks."""

    name: str
    first: date
    end: date
    blocks: int


def verify(
    *,
    month: date | None = None,
    dropped: Dropped | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Report:
    """Verify the whole log, or one month with its links to the months around it; changes nothing.

    Months that are detached are verified where they are; the place of those that retention took is taken by `dropped`
    (default: what the log says now). Raises CannotDecide, also when months moved meanwhile, and DatabaseError when the
    database does not answer. `progress` hears the partition and the rows so far after each piece.
    """
    report = Report()
    heads = dict(fetch(sql.HEADS))
    began_with = drops.layout()
    dropped = drops.load() if dropped is None else dropped
    gone = dropped.parameters
    report.lanes = sum(lane_seq > 0 for lane_seq in heads.values())
    if month in dropped.months and not any(month == part.first for part in _partitions(None)):
        raise CannotDecide(f"{month:%Y-%m} was dropped after its retention: check its copy in the archive.")
    for part in _partitions(month):
        report.months.append(f"{part.first:%Y-%m}")
        bounds = {"first": _midnight(part.first), "end": _midnight(part.end)}
        for _ in _verify_rows(report, bounds, part.blocks):
            if progress is not None:
                progress(part.name, report.rows)
        report.findings += _links(sql.BROKEN_LINKS, bounds | gone)
    if month is not None:
        report.findings += _links(sql.BROKEN_EDGES, gone | {"end": _midnight(add_months(month, 1))})
    report.findings += _heads(gone)
    if month is None:
        report.findings += _twins(heads, gone)
        report.findings += drops.check_months(dropped)
    if drops.layout() != began_with:
        raise CannotDecide("Months were made, detached or dropped meanwhile: verify again.")
    return report


def _partitions(month: date | None) -> list[Part]:
    """What is to be verified, oldest first."""
    blocks = dict(fetch(sql.PARTITIONS))
    parts = []
    attached = partitions.attached(drops.TABLE, using="default")
    for partition in sorted([*detached.months_of(drops.TABLE, using="default"), *attached], key=_bounds):
        if partition.first is None or partition.end is None:
            raise CannotDecide(f"{partition.name} does not hold a whole month: {partition.bounds}.")
        if month is None or partition.first <= month < partition.end:
            parts.append(Part(partition.name, partition.first, partition.end, blocks.get(partition.name, 0)))
    if not parts:
        raise CannotDecide(f"There is no partition for {month:%Y-%m}." if month else "The log has no partitions.")
    return parts


def _bounds(partition: Partition) -> tuple[date, str]:
    return (partition.first or date.min, partition.name)


def _verify_rows(report: Report, bounds: dict[str, Any], blocks: int) -> Iterator[None]:
    """Check the rows of one partition, piece by piece."""
    for block in range(0, blocks, BLOCKS):
        _verify_piece(report, bounds, block << _OFFSET_BITS, (block + BLOCKS) << _OFFSET_BITS)
        yield


def _verify_piece(report: Report, bounds: dict[str, Any], low: int, high: int) -> None:
    """Check the rows at the places from `low` up to `high`; halve them where a row cannot be read at all."""
    piece = bounds | {"low": _tid(low), "high": _tid(high)}
    try:
        ((rows, bad),) = fetch(sql.COUNT_ROWS, piece)
    except (DataError, OperationalError) as error:
        if not _is_of_a_row(error):
            raise
        if high - low > 1:
            middle = (low + high) // 2
            _verify_piece(report, bounds, low, middle)
            _verify_piece(report, bounds, middle, high)
        else:
            report.rows += 1
            report.bad_rows += 1
            report.findings += [
                Finding(
                    "bad_row", "what it holds cannot be read as an entry", lane, id_, lane_seq, partition, timestamp
                )
                for id_, lane, lane_seq, partition, timestamp in fetch(sql.PLACE, piece)
            ]
        return
    report.rows += rows
    report.bad_rows += bad
    if bad and (room := SHOWN - len(report.findings)) > 0:
        report.findings += [
            Finding("bad_row", f"its {check} does not hold", lane, id_, lane_seq, partition, timestamp)
            for id_, lane, lane_seq, partition, timestamp, check in fetch(sql.BAD_ROWS, piece | {"limit": room})
        ]


def _is_of_a_row(error: Exception) -> bool:
    """Whether a row is at fault: a value that cannot be, or one too large or too deep for PostgreSQL to read."""
    limit = isinstance(error.__cause__, psycopg.Error) and (error.__cause__.sqlstate or "").startswith(_LIMITS)
    return isinstance(error, DataError) or limit


def _links(statement: str, bounds: dict[str, Any]) -> Iterator[Finding]:
    for row in fetch(statement, bounds | {"limit": SHOWN}):
        id_, lane, lane_seq, partition, timestamp, last_id, last_seq, last_partition, last_at = row
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
        elif (through := _through(bounds, lane, last_seq or 0)) == lane_seq - 1:
            detail = "it names another row before it than the one that was sealed there and dropped"
            yield Finding("broken_link", detail, lane, id_, lane_seq, partition, timestamp)
        else:
            yield _missing(lane, through, lane_seq, last_partition or partition, last_at, timestamp)


def _heads(gone: dict[str, Any]) -> Iterator[Finding]:
    for lane, head_seq, last_id, last_seq, partition, timestamp in fetch(sql.BROKEN_HEADS, gone):
        last_seq, through = last_seq or 0, _through(gone, lane, last_seq or 0)
        if head_seq is None:
            yield Finding("missing_head", "the lane has no head", lane, before=timestamp)
        elif head_seq > through:
            yield _missing(lane, through, head_seq + 1, partition, timestamp, None)
        elif head_seq < last_seq:
            yield Finding(
                "rows_beyond_head", f"the lane's head stands at {head_seq}, rows go on to {last_seq}", lane,
                _place(lane, head_seq + 1), head_seq + 1, partition, before=timestamp,
            )  # fmt: skip
        else:
            detail = "the lane's head does not vouch for it"
            yield Finding("broken_head", detail, lane, last_id, last_seq, partition, timestamp)


def _twins(heads: dict[int, int], gone: dict[str, Any]) -> Iterator[Finding]:
    """Rows that share one id, in lanes that hold more rows than their head counts."""
    counted = gone | {"lanes": list(heads), "sequences": list(heads.values())}
    for lane, lane_seq, rows in fetch(sql.SURPLUS, counted):
        twins = fetch(sql.TWINS, {"lane": lane, "limit": SHOWN})
        for id_, seq, one, other, first_at, last_at in twins:
            detail = f"more than one row has this id, in {one} and {other}"
            yield Finding("duplicate_id", detail, lane, id_, seq, other, after=first_at, before=last_at)
        if not twins:
            yield Finding("surplus_rows", f"{rows} rows where the head counts {lane_seq}", lane)


def _through(gone: dict[str, Any], lane: int, last_seq: int) -> int:
    """The number up to which nothing is missing after `last_seq`, because retention dropped what follows it."""
    for one, first, last in zip(gone["gone_lanes"], gone["gone_firsts"], gone["gone_lasts"], strict=True):
        if one == lane and first <= last_seq + 1 <= last:
            return last
    return last_seq


def _missing(
    lane: int, last_seq: int, next_seq: int, partition: str | None, after: datetime | None, before: datetime | None
) -> Finding:
    count, first = next_seq - last_seq - 1, last_seq + 1
    detail = f"{count} row{'s are' if count > 1 else ' is'} missing from number {first} on"
    return Finding("missing_rows", detail, lane, _place(lane, first), first, partition, after=after, before=before)


def _place(lane: int, lane_seq: int) -> int:
    return (lane << LANE_SHIFT) + lane_seq


def _tid(position: int) -> str:
    return f"({position >> _OFFSET_BITS},{position & ((1 << _OFFSET_BITS) - 1)})"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
