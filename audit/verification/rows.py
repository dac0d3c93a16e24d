"""Is the log whole? Every row against its hashes, every row against the one before it, every lane against its head.

The database does the work in pieces and answers with what is wrong, so the size of the log does not matter here.
Appending goes on meanwhile: rows never change, and heads are compared with rows within one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from audit.verification import dropped as drops
from audit.verification import rows_sql as sql
from audit.verification.dropped import Dropped
from audit.verification.findings import SHOWN, CannotDecide, Finding, Report
from audit.verification.pieces import Blocks, Ids, Links, Part, check, missing, place, through
from audit.verification.queries import fetch
from audit.verification.since import Since
from audit.verification.workers import in_order
from forge.db import detached, partitions, scope
from forge.db.months import add_months
from forge.db.partitions import Partition

BLOCKS = 16_384
"""Table blocks per piece: 128 MB, some 60,000 rows."""

ROWS = 60_000
"""Rows per piece where a lane is walked."""

Progress = Callable[[str, int, float], None]
"""Hears after each piece where it was, the rows so far, and their share of the whole (0 to 1)."""


@dataclass(frozen=True)
class Month:
    """One partition, [first, end), and its size in blocks."""

    name: str
    first: datetime
    end: datetime
    blocks: int


def verify(
    *,
    month: date | None = None,
    since: Since | None = None,
    dropped: Dropped | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Verify the whole log, one month with its links to the months around it, or what came after a checkpoint.

    Changes nothing. Months that are detached are verified where they are; the place of those that retention took is
    taken by `dropped` (default: what the log says now). `jobs` processes share the rows; what is found does not depend
    on their number. Raises CannotDecide (also when one of them ends too early, and when months moved meanwhile), and
    DatabaseError when the database does not answer.
    """
    if scope.current() != scope.SYSTEM:
        raise CannotDecide("Not all of the log is in sight: verify in the system's scope.")
    with drops.steady():
        return _verify(drops.load() if dropped is None else dropped, month, since, jobs, progress)


def _verify(dropped: Dropped, month: date | None, since: Since | None, jobs: int, progress: Progress | None) -> Report:
    report = Report()
    heads = dict(fetch(sql.HEADS))
    gone = dropped.parameters
    report.lanes = sum(lane_seq > 0 for lane_seq in heads.values())
    months = _months(month, dropped)
    if since is None:
        report.months = [f"{one.first:%Y-%m}" for one in months]
    parts = _parts_of_months(months, gone) if since is None else _parts_since(since, heads, gone)
    share = 0.0
    for found in in_order(check, parts, jobs=jobs):
        report.rows += found.rows
        report.bad_rows += found.bad_rows
        report.findings += found.bad[: max(SHOWN - len(report.findings), 0)] + found.links
        share += found.share
        if progress is not None and found.share:
            progress(found.name, report.rows, min(share, 1.0))
    if month is not None:
        edges = Links("edges", sql.BROKEN_EDGES, gone | {"end": _midnight(add_months(month, 1))})
        report.findings += edges.check().links
    report.findings += _heads(gone)
    if month is None:
        report.findings += _twins(heads, since, gone)
        report.findings += drops.check_months(dropped)
    return report


def _months(month: date | None, dropped: Dropped) -> list[Month]:
    """What is to be verified, oldest first."""
    blocks = dict(fetch(sql.PARTITIONS))
    found = []
    attached = partitions.attached(drops.TABLE, using="default")
    for partition in sorted([*detached.months_of(drops.TABLE, using="default"), *attached], key=_bounds):
        if partition.first is None or partition.end is None:
            raise CannotDecide(f"{partition.name} does not hold a whole month: {partition.bounds}.")
        if month is None or partition.first <= month < partition.end:
            bounds = _midnight(partition.first), _midnight(partition.end)
            found.append(Month(partition.name, *bounds, blocks.get(partition.name, 0)))
    if not found and month in dropped.months:
        raise CannotDecide(f"{month:%Y-%m} was dropped after its retention: check its copy in the archive.")
    if not found:
        raise CannotDecide(f"There is no partition for {month:%Y-%m}." if month else "The log has no partitions.")
    return found


def _bounds(partition: Partition) -> tuple[date, str]:
    return (partition.first or date.min, partition.name)


def _parts_of_months(months: list[Month], gone: dict[str, Any]) -> Iterator[Part]:
    """The rows of each month in pieces, then their links."""
    total = sum(month.blocks for month in months)
    for month in months:
        for low in range(0, month.blocks, BLOCKS):
            share = min(BLOCKS, month.blocks - low) / total
            yield Blocks(month.name, share, month.first, month.end, low, low + BLOCKS)
        yield Links(month.name, sql.BROKEN_LINKS, gone | {"first": month.first, "end": month.end})


def _parts_since(since: Since, heads: dict[int, int], gone: dict[str, Any]) -> Iterator[Part]:
    """The later rows of each lane in pieces, then the links of all."""
    total = sum(max(heads.get(lane, 0) - floor + 1, 0) for lane, floor in enumerate(since.floors))
    for low, high in fetch(sql.FILLED, {"lows": since.lows, "highs": since.highs}):
        while low < high:
            after = fetch(sql.NEXT_PIECE, {"low": low, "high": high, "rows": ROWS})
            end = after[0][0] if after else high
            yield Ids(min(ROWS / max(total, 1), 1.0), low, end)
            low = end
    yield Links("lanes", sql.BROKEN_LINKS_OF_LANES, gone | {"lows": since.lows, "highs": since.highs})


def _heads(gone: dict[str, Any]) -> Iterator[Finding]:
    for lane, head_seq, last_id, last_seq, partition, timestamp in fetch(sql.BROKEN_HEADS, gone):
        last_seq, until = last_seq or 0, through(gone, lane, last_seq or 0)
        if head_seq is None:
            yield Finding("missing_head", "the lane has no head", lane, before=timestamp)
        elif head_seq > until:
            yield missing(lane, until, head_seq + 1, partition, timestamp, None)
        elif head_seq < last_seq:
            yield Finding(
                "rows_beyond_head", f"the lane's head stands at {head_seq}, rows go on to {last_seq}", lane,
                place(lane, head_seq + 1), head_seq + 1, partition, before=timestamp,
            )  # fmt: skip
        else:
            detail = "the lane's head does not vouch for it"
            yield Finding("broken_head", detail, lane, last_id, last_seq, partition, timestamp)


def _twins(heads: dict[int, int], since: Since | None, gone: dict[str, Any]) -> Iterator[Finding]:
    """Rows that share one id, in lanes that hold more rows than their head counts."""
    floors = dict(enumerate(since.floors)) if since else {}
    lows = {lane: place(lane, floors.get(lane, 1)) for lane in heads}
    counted = gone | {"lanes": list(heads), "sequences": list(heads.values()), "lows": list(lows.values())}
    for lane, lane_seq, rows in fetch(sql.SURPLUS if since is None else sql.SURPLUS_OF_LANES, counted):
        twins = fetch(sql.TWINS, {"lane": lane, "low": lows[lane], "limit": SHOWN})
        for id_, seq, one, other, first_at, last_at in twins:
            detail = f"more than one row has this id, in {one} and {other}"
            yield Finding("duplicate_id", detail, lane, id_, seq, other, after=first_at, before=last_at)
        if not twins:
            yield Finding("surplus_rows", f"{rows} rows where the head counts {lane_seq}", lane)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
