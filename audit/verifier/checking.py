"""Checks a bundle from end to end: one pass over its leaves, with entries, neighbours and checkpoints beside them.

What it holds in memory does not grow with the bundle: one line of each file, the last place of each lane, the peaks of
the tree (and the ids of entries whose personal values are gone, until an audited erasure names them).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import layout, reading
from .findings import CannotDecide, Finding, Report
from .notes import Checkpoint, NoteError, VerifierKey, read_checkpoint
from .personal import Personal
from .proofs import leaf_hash
from .reading import BadLine, Line, Lines, Manifest
from .rows import BadRow, Row, pick, read_entry, read_neighbour
from .tree import BACK, BEGINNING, END, Tree, bound

_BEFORE_THE_FIRST = bytes(32)
_PROGRESS = 10_000


@dataclass(frozen=True)
class Receipt:
    """What somebody was handed for an entry: lane, number, log_hash."""

    lane: int
    number: int
    log_hash: bytes


def check_bundle(
    folder: Path,
    *,
    keys: Sequence[VerifierKey] = (),
    outside: Sequence[str] = (),
    receipt: Receipt | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check the bundle and report; never raises for what is in it. Without `keys` it uses the bundle's own.

    `outside` are notes of checkpoints that the auditor got elsewhere; `progress` hears the number of leaves.
    """
    report = Report()
    try:
        manifest, findings = reading.open_manifest(folder)
        for finding in findings:
            report.add(finding)
        if not manifest.facts:
            return report
        for finding in reading.check_files(folder, manifest):
            report.add(finding)
        with ExitStack() as stack:
            known = _keys(folder, keys, report)
            given = [_outside(note, known) for note in outside]
            _Check(folder, report, manifest, known, given, receipt, stack).run(progress)
    except CannotDecide as error:
        report.undecided = str(error)
    return report


def _keys(folder: Path, given: Sequence[VerifierKey], report: Report) -> Sequence[VerifierKey]:
    if given:
        return given
    report.notices.append(
        "The signatures were checked with the keys in the bundle itself, which whoever made it chose. Give --key with"
        " the public key that you were told before."
    )
    try:
        text = (folder / layout.KEYS).read_bytes()[:65_536].decode()
        found = [VerifierKey.parse(line) for line in text.splitlines()]
    except (OSError, ValueError, NoteError) as error:
        raise CannotDecide(f"{layout.KEYS} cannot be read: {error}.") from error
    if not found:
        raise CannotDecide("The bundle holds no public key: give one with --key.")
    return found


def _outside(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return read_checkpoint(note, keys)
    except NoteError as error:
        raise CannotDecide(f"A given checkpoint cannot be used: {error}.") from error


class _Source:
    """The lines of entries or neighbours in the order of their leaves; `head` is the next one."""

    def __init__(self, lines: Lines, report: Report) -> None:
        self._lines, self._report = lines, report
        self.name, self.count = lines.name, 0
        self.head: Line | None = None
        self.index = END
        self.advance()

    def advance(self) -> None:
        while True:
            try:
                self.head = self._lines.next()
            except BadLine as error:
                self._report.add(Finding("bad_line", str(error), file=self.name, line=error.number))
                continue
            if self.head is None:
                self.index = END
                return
            index = self.head.value.get("leaf_index")
            if type(index) is int:
                self.index = index
                self.count += 1
                return
            self._report.add(Finding("bad_line", "it names no leaf", file=self.name, line=self.head.number))


class _Check:
    """The pass over one bundle."""

    def __init__(
        self,
        folder: Path,
        report: Report,
        manifest: Manifest,
        keys: Sequence[VerifierKey],
        outside: Sequence[Checkpoint],
        receipt: Receipt | None,
        stack: ExitStack,
    ) -> None:
        entries, neighbours, personal, checkpoints = (
            stack.enter_context(Lines(folder, name, read))
            for name, read in (
                (layout.ENTRIES, pick),
                (layout.NEIGHBOURS, json.loads),
                (layout.PERSONAL, reading.spelled),
                (layout.CHECKPOINTS, reading.spelled),
            )
        )
        self._folder, self._report, self._manifest, self._receipt = folder, report, manifest, receipt
        self._entries, self._neighbours = _Source(entries, report), _Source(neighbours, report)
        self._personal = Personal(personal, report)
        try:
            self._first, self._end = bound(manifest.first, BEGINNING), bound(manifest.end, END)
        except BadRow as error:
            raise CannotDecide(f"The range of {layout.MANIFEST} cannot be read: {error}.") from error
        self._told = {lane["lane"]: lane for lane in manifest.facts["lanes"]}
        self._heads: dict[int, tuple[int, bytes, int | None]] = {}
        self._lanes: dict[int, dict[str, Any]] = {}
        self._earlier = 0
        self._is_in_bundle = False
        self._tree = Tree(report, checkpoints, keys, outside, manifest.low, manifest.left)
        report.low, report.high, report.range = manifest.low, manifest.high, manifest.facts["range"]

    def run(self, progress: Callable[[int], None] | None) -> None:
        try:
            self._walk(progress)
        finally:
            report = self._report
            report.entries, report.neighbours, report.lanes = (
                self._entries.count,
                self._neighbours.count,
                len(self._lanes),
            )
        self._personal.finish()
        self._compare_manifest()
        self._tell()
        self._tree.finish()
        if self._receipt is not None and not self._is_in_bundle:
            raise CannotDecide("The receipt's entry is outside of what this bundle holds.")

    def _walk(self, progress: Callable[[int], None] | None) -> None:
        low = self._manifest.low
        for index, (lane, number, leaf) in enumerate(self._leaves(), low):
            self._leaf(index, lane, number, leaf)
            if progress is not None and index % _PROGRESS == 0:
                progress(index - low)
        for source in (self._entries, self._neighbours):
            self._surplus(source, END)

    def _leaves(self) -> Iterator[tuple[int, int, bytes]]:
        return reading.leaves(self._folder, self._manifest.high - self._manifest.low)

    def _leaf(self, index: int, lane: int, number: int, leaf: bytes) -> None:
        """One leaf with the line that belongs to it."""
        row: Row | None = None
        if self._entries.index == index:
            row = self._read(self._entries, read_entry, index, lane, number, leaf)
            if row is not None:
                self._note_entry(row, lane, number)
        elif self._neighbours.index == index:
            row = self._read(self._neighbours, read_neighbour, index, lane, number, leaf)
            if row is not None and self._first <= row.time < self._end:
                self._wrong("missing_entry", "it belongs to the range and is not among the entries", lane, number)
        elif self._entries.index > index and self._neighbours.index > index:
            self._rowless(lane, number)
        self._link(lane, number, leaf, row)
        self._tree.append(lane, number, leaf)
        if self._receipt is not None and (lane, number) == (self._receipt.lane, self._receipt.number):
            self._is_in_bundle = True
            if leaf_hash(self._receipt.log_hash) != leaf:
                self._wrong("receipt_differs", "it is not the entry that the receipt was given for", lane, number)
        for source in (self._entries, self._neighbours):
            if source.index <= index:
                self._surplus(source, index)

    def _read(
        self, source: _Source, read: Callable[..., Row], index: int, lane: int, number: int, leaf: bytes
    ) -> Row | None:
        """The row of the source's next line; None when it does not hold."""
        line = source.head
        assert line is not None  # noqa: S101  its index is that of a leaf
        row: Row | None = None
        try:
            row = read(line.text, line.value, index=index, lane=lane, number=number)
        except (BadRow, RecursionError) as error:
            self._wrong("bad_row", str(error), lane, number, source.name, line.number)
        else:
            if leaf_hash(row.log_hash) != leaf:
                detail = "it is not the row that was sealed in its place"
                self._wrong("other_leaf", detail, lane, number, source.name, line.number)
            if not self._tree.since - BACK <= row.time <= self._tree.until:
                detail = "its time does not fit the checkpoints around it"
                self._wrong("impossible_time", detail, lane, number, source.name, line.number)
        if source is self._entries:
            self._personal.match(row, (lane << layout.LANE_SHIFT) + number, lane, number)
        source.advance()
        return row

    def _note_entry(self, row: Row, lane: int, number: int) -> None:
        if not self._first <= row.time < self._end:
            self._wrong("foreign_entry", "its time is outside the range", lane, number, layout.ENTRIES)
        known = self._lanes.get(lane)
        hashed = row.log_hash.hex()
        if known is None:
            known = self._lanes[lane] = {"lane": lane, "first": number, "first_hash": hashed}
        known["last"], known["last_hash"] = number, hashed

    def _rowless(self, lane: int, number: int) -> None:
        """A leaf without a line: gone, unless it may be from before the first month that the database still had."""
        is_early = lane not in self._lanes and self._tree.since - BACK < self._first
        if is_early and self._manifest.facts.get("earlier_is_gone") is True:
            self._earlier += 1
        else:
            self._wrong("no_row", "the entry of this leaf is gone", lane, number)

    def _link(self, lane: int, number: int, leaf: bytes, row: Row | None) -> None:
        """The leaf against the one before it in its lane."""
        last = self._heads.get(lane)
        time = row.time if row is not None else None
        if last is not None and number != last[0] + 1:
            told = f"numbers {last[0] + 1} to {number - 1}" if number > last[0] else f"what follows number {last[0]}"
            self._wrong("missing_rows", f"the lane lacks {told}", lane, number)
        elif row is not None and not self._follows(lane, number, row.previous, last[1] if last else None):
            self._wrong("broken_link", "the entry before it in the lane is not the one that it names", lane, number)
        if last is not None and time is not None and last[2] is not None and time < last[2] - BACK:
            self._wrong("impossible_time", "it is older than the entry before it in the lane", lane, number)
        self._heads[lane] = (number, leaf, time)

    def _follows(self, lane: int, number: int, previous: bytes, last: bytes | None) -> bool:
        if number == 1:
            return previous == _BEFORE_THE_FIRST
        if last is None and (told := self._told.get(lane, {})).get("first") == number:
            before = told.get("leaf_before")
            return before is None or leaf_hash(previous).hex() == before
        return last is None or leaf_hash(previous) == last

    def _surplus(self, source: _Source, index: int) -> None:
        """Lines up to `index` that belong to no leaf."""
        while source.head is not None and source.index <= index:
            lane, number = source.head.value.get("lane"), source.head.value.get("lane_seq")
            if type(lane) is int and type(number) is int:
                self._wrong("no_leaf", "it was not sealed in its place", lane, number, source.name, source.head.number)
            else:
                self._wrong("no_leaf", "it was not sealed", None, None, source.name, source.head.number)
            source.advance()

    def _compare_manifest(self) -> None:
        facts, report = self._manifest.facts, self._report
        for name in ("entries", "neighbours", "checkpoints"):
            if facts[name] != (found := getattr(report, name)):
                self._differs(f"it tells of {facts[name]} {name}, the bundle holds {found}")
        told = [{name: one for name, one in lane.items() if name != "leaf_before"} for lane in facts["lanes"]]
        if not report.wrong and told != [self._lanes[lane] for lane in sorted(self._lanes)]:
            self._differs("its first and last entries of the lanes are not those of the bundle")
        if not report.wrong and facts.get("origin") != report.origin:
            self._differs("its origin is not that of the newest checkpoint")

    def _differs(self, detail: str) -> None:
        self._report.add(Finding("manifest_differs", detail, file=layout.MANIFEST))

    def _tell(self) -> None:
        """What is no fault and must be known."""
        facts, notices = self._manifest.facts, self._report.notices
        if facts.get("is_complete") is not True:
            notices.append("The bundle ends at the newest signed checkpoint, which does not cover the whole range.")
        if facts["unsealed"]:
            notices.append(f"{facts['unsealed']} rows of the range were not sealed yet and are not in the bundle.")
        if self._manifest.low:
            notices.append(f"The {self._manifest.low} leaves before the bundle are vouched for by their hashes alone.")
        if self._earlier:
            notices.append(
                f"{self._earlier} leaves at the beginning have no entry: told to be of months that the database did"
                " not hold any more. Compare with the bundle of the month before."
            )

    def _wrong(
        self,
        kind: str,
        detail: str,
        lane: int | None,
        number: int | None,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        self._report.add(Finding(kind, detail, lane, number, file, line))
