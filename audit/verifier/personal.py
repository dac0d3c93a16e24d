"""The personal values of a bundle against the digests in its entries, and what erasures have taken from them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from . import layout
from .findings import Finding, Report
from .reading import BadLine, Line, Lines
from .rows import ENTIRELY, OTHERS, BadRow, Row, check_personal, has_personal

ERASURE = "AUDIT_ERASE"


class Personal:
    """The lines of personal values, in the order of the entries; those that erasure has emptied may be missing.

    What is gone is remembered by id, eight bytes each, until the end: the erasure that names it comes later.
    """

    def __init__(self, lines: Lines, report: Report) -> None:
        self._lines, self._report = lines, report
        self._head: Line | None = None
        self._gone = {form: array("Q") for form in (ENTIRELY, OTHERS)}
        self._named: dict[str, list[tuple[int, int]]] = {ENTIRELY: [], OTHERS: []}
        self._advance()

    def match(self, row: Row | None, id_: int, lane: int, number: int) -> None:
        """Check the next line if it is this entry's; `row` is None for an entry that does not hold itself."""
        line = self._head
        if line is not None and line.value.get("id") == id_:
            self._advance()
        else:
            line = None
        if row is None:
            return
        if row.content["action_type"] == ERASURE and row.content["result"] == "SUCCESS":
            for name, ranges in self._named.items():
                ranges += _ranges(row.content["context"], name)
        try:
            form = ENTIRELY if line is None else check_personal(row.content, line.value)
        except (BadRow, RecursionError) as error:
            at = line.number if line else None
            self._report.add(Finding("bad_personal", str(error), lane, number, layout.PERSONAL, at))
            return
        if form is not None and has_personal(row.content, form):
            self._gone[form].append(id_)

    def finish(self) -> None:
        """After the last entry: lines that are left, and who took what is gone."""
        while self._head is not None:
            line = self._head
            detail = "it belongs to no entry, or stands out of order"
            self._report.add(Finding("bad_personal", detail, file=layout.PERSONAL, line=line.number))
            self._advance()
        rest = 0
        for form, gone in self._gone.items():
            named = _Ranges(self._named[form])
            erased = sum(id_ in named for id_ in gone)
            self._report.erased += erased
            rest += len(gone) - erased
        if rest:
            self._report.notices.append(
                f"The personal values of {rest} entries are gone and no erasure in this bundle names them: these cannot"
                " be checked, all else of these entries is."
            )

    def _advance(self) -> None:
        while True:
            try:
                self._head = self._lines.next()
            except BadLine as error:
                self._report.add(Finding("bad_line", str(error), file=layout.PERSONAL, line=error.number))
            else:
                return


class _Ranges:
    """Whether an id lies in one of [first, last]; they may overlap."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1]:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, id_: int) -> bool:
        at = bisect_right(self._firsts, id_)
        return at > 0 and id_ <= self._lasts[at - 1]


def _ranges(context: Any, form: str) -> Iterator[tuple[int, int]]:
    """The [first, last] ids that an erasure names under `form`; what is no such pair names none."""
    named = context.get(form) if isinstance(context, Mapping) else None
    for pair in named if isinstance(named, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair):
            yield pair[0], pair[1]
