"""A report as a PDF of A4 pages that finance can forward: a first page with the total and a chart, then the table.

The table has the dearest MOST_LINES lines, and one for all others, so that a report of 100,000 people is a document and
not a heap; all lines are in the CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import IO

from fpdf import FPDF

from blueprints.models import BundleType
from costs.showback.chart import draw_chart
from costs.showback.figures import DATA_TRANSFER, PARTS, STORAGE, Line
from costs.showback.fonts import SANS, add_fonts, is_plain
from costs.showback.head import CORRECTED, FINAL, MEANINGS, PROVISIONAL, ROUNDING, Head, utc
from costs.showback.models import ReportBy, ReportKind
from costs.showback.table import Table, money, name_of, nobody
from costs.showback.words import one_line

MARGIN = 12.0
BASIS = 20.0
"""Width of the column that says how a line's figures came about."""
INK, SOFT, RULE, BAND = (28, 37, 48), (98, 108, 120), (208, 213, 219), (244, 246, 248)
_STATUS = {PROVISIONAL: (176, 98, 0), FINAL: (32, 110, 70), CORRECTED: (160, 40, 50)}
_PLURALS = {
    ReportBy.TEAM: "Teams",
    ReportBy.PROJECT: "Projects",
    ReportBy.COST_CENTER: "Cost centers",
    ReportBy.USER: "People",
}
_NAMES = {**dict(BundleType.choices), STORAGE: "Storage", DATA_TRANSFER: "Data transfer"}


def write_pdf(head: Head, lines: Iterable[Line], file: IO[bytes]) -> None:
    """Write the whole document."""
    table = Table.of(head, lines)
    file.write(bytes(_Document(head, table).written()))


class _Document(FPDF):
    """fpdf2's page, with our footer."""

    def __init__(self, head: Head, table: Table) -> None:
        super().__init__("landscape", "mm", "A4")
        self.head, self.folded = head, table
        self.parts = [part for part in PARTS if head.sums.parts.get(part)]
        self.set_margin(MARGIN)
        self.set_auto_page_break(False)
        organization = one_line(head.asked.organization.name)
        texts = [name_of(line) for line in table.shown] + [one_line(line.code) for line in table.shown]
        add_fonts(self, [organization, one_line(head.scope), *texts])
        self.organization = organization
        self.set_title(f"{head.title}, {organization}, {head.asked.month:%Y-%m}")
        self.set_creator("RobCo Forge")
        self.set_lang("en")
        self.set_creation_date(head.issued_at)

    def written(self) -> bytearray:
        self.add_page()
        self._cover()
        self._lines()
        return self.output()

    # -- kit -------------------------------------------------------------------------------------------------------
    def put(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        *,
        size: float = 9,
        style: str = "",
        align: str = "L",
        color: Sequence[int] = INK,
    ) -> None:
        """One line of text in a box, cut with an ellipsis where it is too long; shaped where its script needs it."""
        self.set_font(SANS, style, size)
        self.set_text_color(*color)
        self.set_text_shaping(not is_plain(text))
        self.set_xy(x, y)
        self.cell(width, size * 0.5, self._cut(text, width), align=align)
        self.set_text_shaping(False)

    def _cut(self, text: str, width: float) -> str:
        room = width - 2 * self.c_margin
        if self.get_string_width(text) <= room:
            return text
        least, most = 0, len(text)
        while least < most:
            middle = (least + most + 1) // 2
            if self.get_string_width(text[:middle].rstrip() + "…") <= room:
                least = middle
            else:
                most = middle - 1
        return text[:least].rstrip() + "…"

    def footer(self) -> None:
        y = self.h - 10
        self.set_draw_color(*RULE)
        self.line(MARGIN, y - 1.5, self.w - MARGIN, y - 1.5)
        said = f"RobCo Forge · {self.head.title} · {self.head.asked.month:%B %Y} · generated {utc(self.head.issued_at)}"
        self.put(MARGIN, y, 200, said, size=7.5, color=SOFT)
        self.put(self.w - MARGIN - 24, y, 24, f"Page {self.page_no()} of {{nb}}", size=7.5, color=SOFT)

    # -- first page ------------------------------------------------------------------------------------------------
    def _cover(self) -> None:
        head, wide = self.head, self.w - 2 * MARGIN
        self.put(MARGIN, 12, 190, head.title, size=22, style="B")
        what = f"{self.organization} · {one_line(head.scope)} · {head.asked.month:%B %Y} (UTC month)"
        self.put(MARGIN, 23.5, 190, what, size=11, color=SOFT)
        self._status()
        self.set_fill_color(*BAND)
        self.rect(MARGIN, 33, wide, 27, style="F")
        self.put(MARGIN + 4, 36, 100, "Total", size=9, color=SOFT)
        self.put(MARGIN + 4, 42, 110, f"{money(head.sums.amount)} {head.currency}", size=24, style="B")
        facts = [
            ("Basis", self._bases()),
            ("Metered through", f"{utc(head.metered_through)}{self._lag()}"),
            ("Generated at", utc(head.issued_at)),
            (_PLURALS[head.asked.by], f"{head.sums.groups:,}"),
        ]
        for index, (label, value) in enumerate(facts):
            y = 36 + index * 5.6
            self.put(MARGIN + 122, y, 32, label, size=9, color=SOFT)
            self.put(MARGIN + 154, y, wide - 156, value, size=9)
        y = 64.0
        for sentence in self._sentences():
            self.put(MARGIN, y, wide, sentence, size=9, color=INK)
            y += 5.2
        draw_chart(self, self.folded.bars(head.asked.by), self.parts, y + 4, _NAMES)

    def _status(self) -> None:
        color, width = _STATUS[self.head.status], 34.0
        self.set_fill_color(*color)
        x = self.w - MARGIN - width
        self.rect(x, 13, width, 8.5, style="F", round_corners=True, corner_radius=1.5)
        self.put(x, 15, width, self.head.status, size=10, style="B", align="C", color=(255, 255, 255))

    def _bases(self) -> str:
        whole = self.head.sums.amount
        shares = [
            f"{basis.capitalize()} {money(amount)} ({100 * amount / whole:.1f} %)"
            for basis, amount in sorted(self.head.sums.bases.items())
            if whole
        ]
        return ", ".join(shares) or "nothing was spent"

    def _lag(self) -> str:
        hours = self.head.spend_lag.total_seconds() / 3600
        return f" (spend lags {hours:,.1f} hours behind)" if hours >= 0.05 else " (no spend lag)"

    def _sentences(self) -> list[str]:
        head = self.head
        sentences = [MEANINGS[head.asked.kind]]
        if head.is_provisional:
            sentences.append("Provisional: the month is not over, or not metered to its end; amounts will change.")
        if head.previous is not None and head.difference is not None:
            sign = "+" if head.difference > 0 else ""
            sentences.append(
                f"Corrected: the report of {utc(head.previous.issued_at)} said {money(head.previous.amount)}; "
                f"the difference is {sign}{money(head.difference)} {head.currency}."
            )
        return sentences

    # -- table -----------------------------------------------------------------------------------------------------
    def _lines(self) -> None:
        head, table = self.head, self.folded
        self._columns()
        self.add_page()
        self._heading()
        for line in table.shown:
            code = one_line(line.code)
            name = name_of(line)
            self._row(name, "" if code == name else code, line.amount, line.parts, line.basis)
        if table.others:
            self._row(
                f"{table.others:,} others", "all of them are in the CSV", table.other_amount, table.other_parts, ""
            )
        if self.get_y() + 4 * 6.4 > self.h - 16:  # what closes the table stays together
            self.add_page()
            self._heading()
        unallocated = table.unallocated
        if head.asked.kind == ReportKind.CHARGEBACK and unallocated is not None:
            allocated = {part: head.sums.parts[part] - unallocated.parts.get(part, 0) for part in self.parts}
            self._row("Allocated", "", head.sums.amount - unallocated.amount, allocated, "", strong=True)
        if unallocated is not None:
            self._row(nobody(head.asked.by), "", unallocated.amount, unallocated.parts, unallocated.basis)
        self._row(f"Total ({head.currency})", "", head.sums.amount, head.sums.parts, "", strong=True)
        self.put(MARGIN, self.get_y() + 6, self.w - 2 * MARGIN, ROUNDING, size=8, color=SOFT)

    def _columns(self) -> None:
        """As wide as the widest figure of the foot needs, in a letter that lets all of them stand side by side."""
        self.size = 8.5
        wide = self.w - 2 * MARGIN - 62 - BASIS
        while True:
            self.set_font(SANS, "B", self.size)
            needed = [self._needed(part, self.head.sums.parts[part]) for part in self.parts]
            needed.append(self._needed("Total", self.head.sums.amount))
            if sum(needed) <= wide or self.size <= 5:
                break
            self.size -= 0.25
        self.widths = [max(width, min(27.0, wide / len(needed))) for width in needed]
        if sum(self.widths) > wide:
            self.widths = needed
        self.first = self.w - 2 * MARGIN - BASIS - sum(self.widths)

    def _needed(self, part: str, amount: Decimal) -> float:
        return max(self.get_string_width(money(amount)), self.get_string_width(_NAMES.get(part, part))) + 3

    def _heading(self) -> None:
        y = MARGIN
        self.set_fill_color(*INK)
        self.rect(MARGIN, y, self.w - 2 * MARGIN, 7.5, style="F")
        white = (255, 255, 255)
        self.put(MARGIN, y + 1.8, self.first, self.head.asked.by.label.capitalize(), style="B", color=white)
        x = MARGIN + self.first
        for part, width in zip([*self.parts, "Total"], self.widths, strict=True):
            label = _NAMES.get(part, part)
            self.put(x, y + 1.9, width, label, size=self.size, style="B", align="R", color=white)
            x += width
        self.put(x + 2, y + 1.8, BASIS - 2, "Basis", style="B", color=white)
        self.set_y(y + 7.5)

    def _row(
        self,
        name: str,
        code: str,
        amount: Decimal,
        parts: Mapping[str, Decimal],
        basis: str,
        *,
        strong: bool = False,
    ) -> None:
        height = 8.4 if code else 6.4
        if self.get_y() + height > self.h - 16:
            self.add_page()
            self._heading()
        y, style = self.get_y(), "B" if strong else ""
        if strong:
            self.set_fill_color(*BAND)
            self.rect(MARGIN, y, self.w - 2 * MARGIN, height, style="F")
        self.put(MARGIN, y + 1, self.first, name, size=8.5, style=style)
        if code:
            self.put(MARGIN, y + 4.9, self.first, code, size=6.5, color=SOFT)
        x = MARGIN + self.first
        for part, width in zip(self.parts, self.widths, strict=False):
            cost = parts.get(part)
            text = money(cost) if cost else "-"
            self.put(x, y + 1, width, text, size=self.size, style=style, align="R", color=INK if cost else SOFT)
            x += width
        self.put(x, y + 1, self.widths[-1], money(amount), size=self.size, style="B", align="R")
        self.put(x + self.widths[-1] + 2, y + 1.2, BASIS - 2, basis.capitalize(), size=7, color=SOFT)
        self.set_draw_color(*RULE)
        self.line(MARGIN, y + height, self.w - MARGIN, y + height)
        self.set_y(y + height)
