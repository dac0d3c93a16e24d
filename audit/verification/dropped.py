"""What retention took from the log, as the log itself says it: sealed entries that name every number that is gone.

Each entry AUDIT_MONTH_DROP repeats what those before it said, so that the newest is enough when the older ones have
been dropped themselves. Its context: `table`, `month`, `retention_months`, `ranges` ([lane, first, last], …), `months`
(YYYY-MM → SHA-256 of the manifest of the copy), and of its own month `rows`, `location` and `manifest_sha256`.
"""

# ruff: noqa: S608  every part of these statements stands in this file

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from audit import places
from audit.receipts import LANE_SHIFT
from audit.sealing.leaves import BACK
from audit.verification.findings import CannotDecide, Finding
from audit.verification.queries import fetch
from forge.db import detached, partitions
from forge.db.detached import Place
from forge.db.models import ArchivedMonth
from forge.db.months import add_months, month_of

TABLE = "audit_auditlog"
ACTION = "AUDIT_MONTH_DROP"

LOG = f"""(SELECT tableoid, ctid, * FROM {TABLE} UNION ALL SELECT tableoid, ctid, * FROM {detached.twin(TABLE)})"""
"""Every row of the log that the database has: those of detached months too."""

GONE = (
    "unnest(%(gone_lanes)s::bigint[], %(gone_firsts)s::bigint[], %(gone_lasts)s::bigint[]) AS gone (lane, first, last)"
)
"""The numbers that retention dropped, with the parameters of `Dropped.parameters`."""

_ENTRIES = f"""
    SELECT log.context, log."timestamp", leaf.hash = sha256('\\x00'::bytea || log.log_hash)
           AND leaf."index" < (SELECT tree_size FROM audit_auditcheckpoint WHERE note IS NOT NULL
                                ORDER BY id DESC LIMIT 1)
      FROM {LOG} AS log
      LEFT JOIN audit_auditleaf AS leaf ON leaf.lane = log.lane AND leaf.lane_seq = log.lane_seq
     WHERE log.organization_id IS NULL AND log.action_type = '{ACTION}' AND log.result = 'SUCCESS'
       AND log.context ->> 'table' = '{TABLE}'
     ORDER BY log."timestamp"
"""

_SPANS = f"""
    SELECT lane, min(lane_seq), max(lane_seq) FROM (
        SELECT lane, lane_seq, lane_seq - row_number() OVER (PARTITION BY lane ORDER BY lane_seq) AS island
          FROM {LOG} AS log WHERE "timestamp" >= %(first)s AND "timestamp" < %(end)s
    ) AS row GROUP BY lane, island ORDER BY lane, min(lane_seq)
"""

# A leaf was sealed after its row was written, and its row was written, but for BACK, after the checkpoint before.
# The incarnations one by one, because the index on sizes begins with them.
_NOT_OF_MONTHS = """
    SELECT leaf.lane, leaf.lane_seq, checkpoint.sealed_at
      FROM unnest(%(lanes)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[]) AS gone (lane, first, last)
      JOIN audit_auditleaf AS leaf ON leaf.lane = gone.lane AND leaf.lane_seq IN (gone.first, gone.last)
     CROSS JOIN LATERAL (
         SELECT next.id, next.sealed_at
           FROM generate_series(1, (SELECT least(max(incarnation), 1000) FROM audit_auditcheckpoint)) AS number
          CROSS JOIN LATERAL (
              SELECT id, sealed_at FROM audit_auditcheckpoint
               WHERE incarnation = number AND tree_size > leaf."index" ORDER BY tree_size LIMIT 1) AS next
          ORDER BY next.id LIMIT 1
     ) AS checkpoint
      LEFT JOIN audit_auditcheckpoint AS before ON before.id = checkpoint.id - 1
     WHERE checkpoint.sealed_at < %(first)s OR before.sealed_at - %(back)s >= %(end)s
     ORDER BY leaf."index" LIMIT 1
"""

Span = tuple[int, int, int]
"""Lane, first and last number."""

MOST_LANES = 256


@dataclass
class Dropped:
    """What is gone: `ranges` (lane, first, last) by entries under a signed checkpoint, `said` by all of them.

    `told` is each entry's own month and what it says is gone. `months` maps every month that an entry names, sealed or
    not, to the SHA-256 of its manifest.
    """

    table: str = TABLE
    ranges: set[Span] = field(default_factory=set)
    said: set[Span] = field(default_factory=set)
    months: dict[date, str] = field(default_factory=dict)
    told: list[tuple[date, set[Span]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, list[int]]:
        """For statements that hold GONE."""
        lanes, firsts, lasts = zip(*merged(self.ranges), strict=True) if self.ranges else ((), (), ())
        return {"gone_lanes": list(lanes), "gone_firsts": list(firsts), "gone_lasts": list(lasts)}

    @property
    def end(self) -> datetime | None:
        """The end of the newest month that was dropped."""
        return _midnight(add_months(max(self.months), 1)) if self.months else None

    @property
    def numbers(self) -> int:
        """How many entries are gone."""
        return sum(last - first + 1 for _, first, last in merged(self.ranges))

    def month_of(self, lane: int, lane_seq: int) -> date | None:
        """The month in whose copy the entry is, or an earlier one where the entries that knew are gone themselves."""
        for month, ranges in self.told:
            if any(one == lane and first <= lane_seq <= last for one, first, last in ranges & self.ranges):
                return month
        return None


def load() -> Dropped:
    """What the entries in the log say; one that says nothing readable, or of a month too young, is a finding."""
    dropped = Dropped()
    for context, timestamp, is_sealed in fetch(_ENTRIES):
        context = json.loads(context) if isinstance(context, str) else context
        try:
            month = _month(context["month"])
            ranges = {_span(*one) for one in context["ranges"]}
            months = {_month(text): str(hashed) for text, hashed in context["months"].items()}
            kept = int(context["retention_months"])
            is_old = kept >= places.LEAST_MONTHS and all(  # months of entries before it may have had another retention
                add_months(one, 1 + (kept if one == month else places.LEAST_MONTHS)) <= month_of(timestamp)
                for one in {month, *months}
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            dropped.findings.append(_finding("an entry that drops a month cannot be read", timestamp))
            continue
        if not is_old:
            detail = f"{month:%Y-%m} was dropped before its time"
            dropped.findings.append(_finding(detail, timestamp))
            continue
        if foreign := _foreign(dropped, month, months, ranges, timestamp):
            dropped.findings += foreign
            continue
        dropped.months |= months
        dropped.said |= ranges
        dropped.told.append((month, ranges))
        if is_sealed:
            dropped.ranges |= ranges
    return dropped


def _foreign(
    before: Dropped, month: date, months: dict[date, str], ranges: set[Span], timestamp: datetime
) -> list[Finding]:
    """The first number that an entry takes and that was not sealed in a month that it adds to those `before`."""
    added = sorted(months.keys() - before.months.keys()) or [month]
    new = _without(merged(ranges), merged(before.said))
    lanes, firsts, lasts = (list(column) for column in zip(*new, strict=True)) if new else ([], [], [])
    bounds: dict[str, Any] = {"first": _midnight(added[0]), "end": _midnight(add_months(added[-1], 1)), "back": BACK}
    found = fetch(_NOT_OF_MONTHS, bounds | {"lanes": lanes, "firsts": firsts, "lasts": lasts})
    detail = f"an entry drops numbers of {month:%Y-%m} that were not sealed in that month"
    return [
        Finding("archived_month", detail, lane, (lane << LANE_SHIFT) + number, number,
                partitions.name_of(TABLE, sealed_at.astimezone(UTC).date()), timestamp)
        for lane, number, sealed_at in found
    ]  # fmt: skip


def _without(ranges: list[Span], others: list[Span]) -> list[Span]:
    """The numbers of `ranges` that are not in `others`; both as merged() gives them."""
    left = []
    for lane, first, last in ranges:
        for one, low, high in others:
            if one == lane and low <= last and first <= high:
                if first < low:
                    left.append((lane, first, low - 1))
                first = high + 1
        if first <= last:
            left.append((lane, first, last))
    return left


def spans_of(month: date) -> list[Span]:
    """The numbers that the month holds."""
    bounds = {"first": _midnight(month), "end": _midnight(add_months(month, 1))}
    return [(lane, first, last) for lane, first, last in fetch(_SPANS, bounds)]


def merged(ranges: Iterable[Span]) -> list[Span]:
    """The same numbers in as few ranges as can be, in order."""
    found: list[Span] = []
    for lane, first, last in sorted(ranges):
        if found and found[-1][0] == lane and first <= found[-1][2] + 1:
            found[-1] = (lane, found[-1][1], max(last, found[-1][2]))
        else:
            found.append((lane, first, last))
    return found


def check_months(dropped: Dropped) -> Iterator[Finding]:
    """Do the entries, the records of archived months and the tables say the same? Raises CannotDecide meanwhile."""
    yield from dropped.findings
    recorded = {one.month: one for one in ArchivedMonth.objects.filter(table=TABLE)}
    for month, record in recorded.items():
        place = detached.place_of(TABLE, month, record.partition, using="default")
        if place is Place.BETWEEN:
            raise CannotDecide(f"{record.partition} is being detached: manage.py rollover_partitions finishes it.")
        if record.state == ArchivedMonth.State.DROPPED:
            if dropped.months.get(month) != record.manifest_sha256:
                yield _finding(
                    f"{month:%Y-%m} is recorded as dropped, and no entry of the log says so", record.dropped_at
                )
        elif place is Place.NOWHERE:
            yield _finding(f"{month:%Y-%m} is recorded as {record.state.lower()}, and its table is gone", None, month)
    for month in sorted(dropped.months.keys() - recorded.keys()):
        yield _finding(f"the log says that {month:%Y-%m} was dropped, and the record of it is gone", None, month)
    for partition in detached.months_of(TABLE, using="default"):
        if partition.first not in recorded:
            yield _finding(f"{partition.name} was detached, and there is no record of it", None, partition.first)


@contextmanager
def steady() -> Iterator[None]:
    """What is judged within is judged of the same months; raises CannotDecide where they moved meanwhile."""
    began_with = _layout()
    yield
    if _layout() != began_with:
        raise CannotDecide("Months were made, detached or dropped meanwhile: verify again.")


def _layout() -> list[tuple[str, str]]:
    """Which partitions hold the log now."""
    return [
        (table, partition.name)
        for table in (TABLE, detached.twin(TABLE))
        for partition in partitions.attached(table, using="default")
    ]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _span(lane: Any, first: Any, last: Any) -> Span:
    """Raises ValueError for what are no numbers of a lane."""
    if any(type(one) is not int for one in (lane, first, last)) or not (
        0 <= lane < MOST_LANES and 1 <= first <= last < 1 << LANE_SHIFT
    ):
        raise ValueError(f"{[lane, first, last]} is no range of a lane")
    return lane, first, last


def _month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


def _finding(detail: str, timestamp: datetime | None, month: date | None = None) -> Finding:
    partition = partitions.name_of(TABLE, month) if month else None
    return Finding("archived_month", detail, None, partition=partition, timestamp=timestamp)
