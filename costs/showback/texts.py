"""Reports as CSV and JSON, written a line at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import IO, Any

import orjson

from audit.canonical import timestamp
from audit.exports.formats import safe_cell
from costs.showback.figures import PARTS, Line
from costs.showback.head import Head
from costs.showback.models import ReportKind

NOTHING = Decimal("0.00")


def write_csv(head: Head, lines: Iterable[Line], file: IO[bytes]) -> None:
    """RFC 4180 in UTF-8, every cell quoted; `row` tells lines (group, unallocated) from what is told of all of them.

    Rows `group` and `unallocated` add up to `total`, and so do the rows `basis`. A name that a spreadsheet would take
    for a formula has an apostrophe before it.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    asked, sums = head.asked, head.sums
    about = [
        head.currency, f"{asked.month:%Y-%m}", asked.kind, asked.team.slug if asked.team else "", head.status,
        timestamp(head.metered_through), timestamp(head.issued_at),
    ]  # fmt: skip

    def row(word: str, code: str, name: str, amount: Decimal, parts: Mapping[str, Decimal] | None, basis: str) -> None:
        cells = ["" if parts is None else parts.get(part, NOTHING) for part in PARTS]
        writer.writerow([word, safe_cell(code), safe_cell(name), amount, *cells, basis, *about])

    writer.writerow(
        ["row", asked.by.value, "name", "total_cost", *PARTS, "basis", "currency", "month", "kind", "team_only",
         "status", "metered_through", "issued_at"]
    )  # fmt: skip
    unallocated = NOTHING
    for line in lines:
        if not line.code:
            unallocated = line.amount
        row("group" if line.code else "unallocated", line.code, line.name, line.amount, line.parts, line.basis)
    if asked.kind == ReportKind.CHARGEBACK:
        row("allocated", "", "", sums.amount - unallocated, None, "")
    row("total", "", "", sums.amount, sums.parts, "")
    for basis, amount in sorted(sums.bases.items()):
        row("basis", "", "", amount, None, basis)
    if head.previous is not None and head.difference is not None:
        row("previous", timestamp(head.previous.issued_at), "", head.previous.amount, None, "")
        row("difference", "", "", head.difference, None, "")
    text.detach()


def write_json(head: Head, lines: Iterable[Line], file: IO[bytes]) -> None:
    """One object: what is told of all lines, then `groups`, then `unallocated` (null where nothing is)."""
    file.write(orjson.dumps(_told(head))[:-1] + b',"groups":[')
    unallocated, comma = None, b""
    for line in lines:
        if line.code:
            file.write(comma + orjson.dumps({head.asked.by.value: line.code, "name": line.name, **_figures(line)}))
            comma = b","
        else:
            unallocated = _figures(line)
    file.write(b'],"unallocated":' + orjson.dumps(unallocated) + b"}")


def _told(head: Head) -> dict[str, Any]:
    asked, sums, previous = head.asked, head.sums, head.previous
    corrects = None
    if previous is not None:
        corrects = {
            "report": str(previous.id),
            "issued_at": timestamp(previous.issued_at),
            "total_cost": str(previous.amount),
            "difference": str(head.difference),
        }
    return {
        "kind": asked.kind.value,
        "by": asked.by.value,
        "month": f"{asked.month:%Y-%m}",
        "start": f"{asked.month}",
        "end": f"{asked.end}",
        "organization": asked.organization.slug,
        "team_only": asked.team.slug if asked.team else None,
        "currency": head.currency,
        "status": head.status,
        "issued_at": timestamp(head.issued_at),
        "metered_through": timestamp(head.metered_through),
        "spend_lag_seconds": int(head.spend_lag.total_seconds()),
        "total": {"total_cost": str(sums.amount), **_parts(sums.parts)},
        "exact_total_cost": str(sums.total_cost),
        "basis": {basis: str(amount) for basis, amount in sorted(sums.bases.items())},
        "corrects": corrects,
    }


def _figures(line: Line) -> dict[str, Any]:
    return {"total_cost": str(line.amount), **_parts(line.parts), "basis": line.basis}


def _parts(parts: Mapping[str, Decimal]) -> dict[str, str]:
    return {part: str(parts.get(part, NOTHING)) for part in PARTS}
