"""The lines of a report as a page shows them: the dearest one by one, all others as one, and what nobody bears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from costs.showback.chart import CHARTED
from costs.showback.figures import Line
from costs.showback.head import Head
from costs.showback.models import ReportBy, ReportKind
from costs.showback.words import one_line

MOST_LINES = 500


@dataclass
class Table:
    """The lines that are shown one by one, those that are shown as one, and what nobody bears."""

    shown: list[Line] = field(default_factory=list)
    others: int = 0
    other_amount: Decimal = Decimal(0)
    other_parts: dict[str, Decimal] = field(default_factory=dict)
    unallocated: Line | None = None

    @classmethod
    def of(cls, head: Head, lines: Iterable[Line]) -> Table:
        table = cls()
        for line in lines:
            if not line.code:
                table.unallocated = line
            elif len(table.shown) < MOST_LINES:
                table.shown.append(line)
            else:
                table._add_other(line)
        if table.unallocated is None and head.asked.kind == ReportKind.CHARGEBACK:
            table.unallocated = Line("", "", Decimal("0.00"), {}, "")
        return table

    def _add_other(self, line: Line) -> None:
        self.others += 1
        self.other_amount += line.amount
        for part, amount in line.parts.items():
            self.other_parts[part] = self.other_parts.get(part, Decimal(0)) + amount

    def bars(self, by: ReportBy) -> list[tuple[str, Decimal, Mapping[str, Decimal]]]:
        """(name, amount, parts) for the chart: the dearest, all others as one, and what nobody bears."""
        bars = [(name_of(line), line.amount, line.parts) for line in self.shown[:CHARTED]]
        amount, parts = self.other_amount, dict(self.other_parts)
        for line in self.shown[CHARTED:]:
            amount += line.amount
            for part, cost in line.parts.items():
                parts[part] = parts.get(part, Decimal(0)) + cost
        if count := self.others + len(self.shown[CHARTED:]):
            bars.append((f"{count:,} others", amount, parts))
        if self.unallocated is not None and self.unallocated.amount:
            bars.append((nobody(by), self.unallocated.amount, self.unallocated.parts))
        return bars


def name_of(line: Line) -> str:
    """What people call it: its name, else its code."""
    return one_line(line.name) or one_line(line.code) or "(no name)"


def nobody(by: ReportBy) -> str:
    """What stands for the costs that nobody bears."""
    return f"Unallocated (no {by.label})"


def money(amount: Decimal) -> str:
    """With thousands separators and cents."""
    return f"{amount:,.2f}"
