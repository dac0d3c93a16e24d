"""The bundle's leaves against its signed checkpoints: every root, every signature, and the times between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import layout
from .findings import CannotDecide, Finding, Report
from .notes import Checkpoint, NoteError, VerifierKey, read_checkpoint
from .proofs import CompactRange
from .reading import BadLine, Line, Lines
from .rows import BadRow, microseconds

BACK = 5 * 60 * 1_000_000
"""So many microseconds may a time lie behind the one before it (docs/audit.md, "Time")."""

_LATEST = 1 << 62


class Tree:
    """Folds leaves and stops at each checkpoint's size. `since` and `until` bound the times of the next leaves."""

    def __init__(
        self,
        report: Report,
        lines: Lines,
        keys: Sequence[VerifierKey],
        outside: Sequence[Checkpoint],
        low: int,
        left: list[bytes],
    ) -> None:
        self._report, self._lines, self._keys = report, lines, keys
        self._outside = {checkpoint.size: checkpoint for checkpoint in outside}
        self._range = CompactRange(low, list(left))
        self._window: dict[int, int] = {}
        self._agreed, self._is_broken = low, False
        self.vouched = -1
        self.since, self.until = -_LATEST, _LATEST
        self._next: tuple[Line, Checkpoint] | None = None
        self._advance()
        self._compare()
        self._compare_outside()

    @property
    def size(self) -> int:
        return self._range.size

    def append(self, lane: int, number: int, leaf: bytes) -> None:
        for _ in self._range.append(leaf):
            pass
        self._window.setdefault(lane, number)
        if self._next is not None and self._next[1].size <= self._range.size:
            self._compare()
        if self._range.size in self._outside:
            self._compare_outside()

    def finish(self) -> None:
        """After the last leaf: checkpoints that cover more, and leaves that none covers. Raises CannotDecide."""
        while self._next is not None:
            line, checkpoint = self._next
            self._wrong("bad_checkpoint", f"it covers {checkpoint.size} leaves, the bundle ends at {self.size}", line)
            self._advance()
        if self.vouched < self.size:
            self._report.add(Finding("unsigned_end", f"no signed checkpoint vouches for all {self.size} leaves"))
        if self._outside:
            sizes = ", ".join(str(size) for size in sorted(self._outside))
            raise CannotDecide(f"The leaves of the bundle do not reach the given checkpoints of size {sizes}.")

    def _compare(self) -> None:
        """Every checkpoint of the size that is reached."""
        while self._next is not None and self._next[1].size <= self.size:
            line, checkpoint = self._next
            if checkpoint.size < self.size:
                self._wrong("bad_checkpoint", f"it covers {checkpoint.size} leaves and stands behind {self.size}", line)
            elif checkpoint.root == self._range.root():
                self.vouched = self._agreed = self.size
                self._window.clear()
            elif not self._is_broken:
                self._tell_root(line)
            self.since = self.until
            self._advance()

    def _compare_outside(self) -> None:
        """A checkpoint that the auditor brought along."""
        given = self._outside.pop(self.size, None)
        if given is not None and given.root != self._range.root():
            self._report.add(Finding("outside_root", f"the given checkpoint of size {self.size} has another root"))

    def _tell_root(self, line: Line) -> None:
        """The first root that differs, with the lanes since the last that agreed; all later ones differ with it."""
        self._is_broken = True
        detail = f"the leaves from {self._agreed} to {self.size - 1} are not those that this checkpoint sealed"
        if not self._window:  # the hashes to the left of the first leaf
            self._wrong("bad_root", detail, line)
        for lane, number in sorted(self._window.items()):
            self._report.add(Finding("bad_root", detail, lane, number, layout.CHECKPOINTS, line.number))

    def _advance(self) -> None:
        """Go on to the next checkpoint whose line and signature hold."""
        while True:
            try:
                line = self._lines.next()
                self._next = None if line is None else (line, self._read(line))
            except BadLine as error:
                self._report.add(Finding("bad_line", str(error), file=layout.CHECKPOINTS, line=error.number))
            except (NoteError, BadRow) as error:
                self._report.add(Finding("bad_signature", str(error), file=layout.CHECKPOINTS, line=self._lines.number))
            else:
                break
        if self._next is None:
            self.until = _LATEST

    def _read(self, line: Line) -> Checkpoint:
        self._report.checkpoints += 1
        note, told = line.value.get("note"), (line.value.get("origin"), line.value.get("tree_size"))
        checkpoint = read_checkpoint(note if isinstance(note, str) else "", self._keys)
        if told != (checkpoint.origin, checkpoint.size):
            raise NoteError("its note is about another origin or size")
        self.until = microseconds(line.value.get("sealed_at"))
        self._report.origin = checkpoint.origin
        return checkpoint

    def _wrong(self, kind: str, detail: str, line: Line) -> None:
        self._report.add(Finding(kind, detail, file=layout.CHECKPOINTS, line=line.number))


def bound(value: Any, otherwise: int) -> int:
    """A bound of the range in microseconds."""
    return otherwise if value is None else microseconds(value)


BEGINNING, END = -_LATEST, _LATEST
