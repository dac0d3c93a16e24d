"""Writes export bundles: a range of months of the log with all that a third party needs to check it offline.

    with bundles.write(Path("/srv/export/2026-01"), first=date(2026, 1, 1), until=date(2026, 1, 1)) as bundle:
        record(...)  # the folder still has another name; an exception takes it away again
    # here it has its name; bundle.manifest tells what is in it

`first` and `until` are months, both included; None is without a bound, and both None is the whole log. Rows are read
from the first of `tables`, those of neighbours from the others too; without any, months that are detached are read with
the rest. `python -m audit.verifier` checks what came out.

The files (`audit.verifier.layout`; docs/audit.md, "Bundles"):

- `entries.ndjson.gz`: the sealed entries of the range in the order of their leaves. No personal value and no salt.
- `personal.ndjson.gz`: id → personal values and salt. Erasure rewrites this file alone; no fixed hash covers it.
- `leaves.bin`: every leaf from the last checkpoint before the range up to the first signed one after it. The hashes of
  the subtrees to the left stand in the manifest, so the root of each checkpoint can be computed. To the right none is
  needed, because the leaves end where a signed checkpoint does.
- `neighbours.ndjson.gz`: the place, time and hashes of entries of other months between those leaves. Their log_hash
  proves their time, so a leaf without an entry is a deletion and nothing else.
- `checkpoints.ndjson.gz`, `keys`, `manifest.json`, `manifest.json.sha256`.

Everything is of one snapshot and streams; the folder appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from audit.archive import files
from audit.archive.sealed_rows import Extent, Range, SealedRow, Snapshot, snapshot
from audit.sealing import keys
from audit.sealing.tree import StoredTree
from audit.verifier import layout
from forge.db import detached, partitions
from forge.db.models import ArchivedMonth
from forge.db.months import add_months

TABLE = "audit_auditlog"
WHOLE = f"(SELECT * FROM {TABLE} UNION ALL SELECT * FROM {detached.twin(TABLE)})"  # noqa: S608
"""Every row that the database has."""

DEEP = 100
"""With more brackets than these a value may be nested too deeply to be written."""

_HASHES = ("hash_version", "content_hash", "previous_log_hash", "log_hash")
_PLACE = ("id", "lane", "lane_seq", "timestamp")


class MonthGone(Exception):
    """A month of the range was dropped; the message says where its own bundle is."""


class NothingSealed(Exception):
    """No signed checkpoint is there that could vouch for an entry."""


@dataclass(frozen=True)
class Bundle:
    """What was written: the folder that it will have, its manifest, and the manifest's SHA-256 in hexadecimal."""

    folder: Path
    manifest: dict[str, Any]
    manifest_hash: str


@dataclass(frozen=True)
class Plan:
    """What a bundle would hold: the range of leaves and how many rows the range has, sealed or not."""

    extent: Extent
    rows: int


def plan(*, first: date | None, until: date | None, tables: Sequence[str] = (WHOLE,), using: str = "default") -> Plan:
    """What `write` would export; changes nothing. Raises MonthGone, NothingSealed, DatabaseError."""
    wanted = _range(first, until, tables, using)
    with snapshot(using) as log:
        return Plan(_extent(log, wanted), log.count(wanted))


@contextmanager
def write(
    folder: Path,
    *,
    first: date | None,
    until: date | None,
    tables: Sequence[str] = (WHOLE,),
    using: str = "default",
) -> Iterator[Bundle]:
    """Write the bundle; `folder` appears when the block ends, and never if it raises.

    Raises FolderExists, MonthGone, NothingSealed, BrokenTree, DatabaseError, ImproperlyConfigured, OSError (a full
    disk). Not inside a transaction (RuntimeError).
    """
    wanted = _range(first, until, tables, using)
    with files.fresh(folder) as part:
        with snapshot(using) as log:
            manifest = _Writer(part, log, wanted).write()
        yield Bundle(folder, manifest, _write_manifest(part, manifest))


def _range(first: date | None, until: date | None, tables: Sequence[str], using: str) -> Range:
    """The range in time; without a `first` it begins with the first month that the log has. Raises MonthGone."""
    here = [*partitions.attached(TABLE, using=using), *detached.months_of(TABLE, using=using)]
    months = {one.first for one in here if one.first is not None}
    first = first or min(months, default=None)
    left = ArchivedMonth.objects.using(using).filter(table=TABLE).order_by("month")
    for one in left:
        if one.month not in months and first is not None and first <= one.month <= (until or one.month):
            raise MonthGone(f"{one.month:%Y-%m} was dropped after its retention: its bundle is in {one.location}.")
    return Range(
        first=None if first is None else _midnight(first),
        end=None if until is None else _midnight(add_months(until, 1)),
        tables=tables,
        is_first=first is not None and add_months(first, -1) not in months,
        is_cut=any(one.month < (first or date.min) for one in left),
    )


def _extent(log: Snapshot, wanted: Range) -> Extent:
    extent = log.extent(wanted)
    if extent is None:
        raise NothingSealed("No signed checkpoint is there that could vouch for an entry: run audit_seal with a key.")
    return extent


class _Writer:
    """The files of one bundle."""

    def __init__(self, part: Path, log: Snapshot, wanted: Range) -> None:
        self._part, self._log, self._wanted = part, log, wanted
        self._files: dict[str, files.HashedFile] = {}
        self._lanes: dict[int, dict[str, Any]] = {}

    def write(self) -> dict[str, Any]:
        """Write all but the manifest, and return that."""
        created_at = datetime.now(UTC)
        extent = _extent(self._log, self._wanted)
        rows = self._log.count(self._wanted)
        left = StoredTree(self._log.connection).compact_range(extent.low).peaks
        with ExitStack() as stack:
            entries, neighbours, personal, checkpoints = (
                files.Lines(self._open(stack, name), stack)
                for name in (layout.ENTRIES, layout.NEIGHBOURS, layout.PERSONAL, layout.CHECKPOINTS)
            )
            leaves, known = self._open(stack, layout.LEAVES), self._open(stack, layout.KEYS)
            self._write_leaves(extent, leaves, entries, neighbours, personal)
            origin = ""
            for checkpoint in self._log.checkpoints(extent):
                origin = checkpoint["origin"]
                checkpoints.write(checkpoint)
            known.write("".join(f"{key}\n" for key in keys.verifier_keys()).encode())
        return {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "origin": origin,
            "created_at": _text(created_at),
            "range": {"first": _text(self._wanted.first), "end": _text(self._wanted.end)},
            "is_complete": extent.is_complete,
            "earlier_is_gone": self._wanted.is_first and (extent.low > 0 or self._wanted.is_cut),
            "entries": entries.count,
            "unsealed": rows - entries.count,
            "neighbours": neighbours.count,
            "checkpoints": checkpoints.count,
            "leaves": {"low": extent.low, "high": extent.high, "left": [peak.hex() for peak in left]},
            "lanes": self._edges(),
            "files": {name: self._files[name].facts() for name in layout.FIXED},
        }

    def _open(self, stack: ExitStack, name: str) -> files.HashedFile:
        self._files[name] = stack.enter_context(files.hashed(self._part / name))
        return self._files[name]

    def _write_leaves(
        self,
        extent: Extent,
        leaves: files.HashedFile,
        entries: files.Lines,
        neighbours: files.Lines,
        personal: files.Lines,
    ) -> None:
        last = -1
        for sealed in self._log.rows(self._wanted, extent):
            if sealed.index != last:
                leaves.write(layout.LEAF.pack(sealed.lane, sealed.lane_seq, sealed.hash))
            last = sealed.index
            if sealed.row is None:
                continue
            if not sealed.is_inside:
                neighbours.write({"leaf_index": sealed.index, **_some(sealed.row, *_PLACE, *_HASHES)})
                continue
            entries.write_line(_entry(sealed))
            self._note_lane(sealed.row)
            values = _some(sealed.row, *layout.PERSONAL_COLUMNS, "salt")
            if sealed.row["personal"] is not None or any(value is not None for value in values.values()):
                personal.write({"id": sealed.row["id"], **values, "personal": _json(sealed.row["personal"])})

    def _note_lane(self, row: dict[str, Any]) -> None:
        lane = self._lanes.setdefault(
            row["lane"], {"lane": row["lane"], "first": row["lane_seq"], "first_hash": row["log_hash"]}
        )
        lane |= {"last": row["lane_seq"], "last_hash": row["log_hash"]}

    def _edges(self) -> list[dict[str, Any]]:
        """First and last entry of each lane, and the leaf before the first where the log has one."""
        before = self._log.leaves_before({number: lane["first"] for number, lane in self._lanes.items()})
        return [{**self._lanes[number], "leaf_before": before.get(number)} for number in sorted(self._lanes)]


def _entry(sealed: SealedRow) -> str:
    """The line of an entry, of its columns as they stand."""
    row = sealed.row or {}
    columns = _some(row, *layout.COLUMNS) | {name: _json(row[name]) for name in ("context", "changes")}
    return layout.entry_line(
        {name: sealed.index if name == "leaf_index" else row[name] for name in layout.PLACE}, columns
    )


def _json(text: str | None) -> Any:
    """The value of a jsonb column. One that Python cannot carry was put there by hand: as text a verifier finds it."""
    if text is None:
        return None
    try:
        value = json.loads(text)
        if text.count("[") + text.count("{") > DEEP:
            layout.dump(value)
    except (ValueError, RecursionError):
        return text
    return value


def _some(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _write_manifest(part: Path, manifest: dict[str, Any]) -> str:
    with files.hashed(part / layout.MANIFEST) as file:
        file.write((json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    hashed: str = file.facts()["sha256"]
    with files.hashed(part / layout.MANIFEST_HASH) as file:
        file.write(f"{hashed}  {layout.MANIFEST}\n".encode())  # as `sha256sum --check` reads it
    return hashed


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


__all__ = ["Bundle", "NothingSealed", "Plan", "plan", "write"]
