"""The chart of a report: a bar per line, of its parts side by side, with what it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

CHARTED = 10
"""Lines that have a bar of their own."""

# Told apart by the colour-blind too (Okabe and Ito), and by the legend's order.
COLORS: Mapping[str, tuple[int, int, int]] = {
    "STANDARD": (0, 114, 178),
    "PERFORMANCE": (86, 180, 233),
    "POWER": (0, 158, 115),
    "POWERPRO": (240, 228, 66),
    "GRAPHICS_G4DN": (230, 159, 0),
    "GRAPHICSPRO_G4DN": (213, 94, 0),
    "storage": (204, 121, 167),
    "data_transfer": (120, 126, 134),
}
_SOFT = (98, 108, 120)


def draw_chart(
    page: Any,
    bars: Sequence[tuple[str, Decimal, Mapping[str, Decimal]]],
    parts: Sequence[str],
    y: float,
    names: Mapping[str, str],
) -> None:
    """Draw `bars` (name, amount, parts) from `y` to the foot of the page, the longest over its whole width."""
    left, width = page.l_margin, page.w - page.l_margin - page.r_margin
    page.put(left, y, width, f"By {page.head.asked.by.label}", size=11, style="B")
    most = max((amount for _, amount, _ in bars), default=Decimal(0))
    if not most:
        page.put(left, y + 9, width, "Nothing was spent in this month.", size=10, color=_SOFT)
        return
    _legend(page, parts, left + 60, y, names)
    step = min(9.0, (page.h - 18 - (y + 8)) / len(bars))
    label, figure = 62.0, 34.0
    scale = float(width - label - figure) / float(most)
    for index, (name, amount, of) in enumerate(bars):
        top = y + 8 + index * step
        page.put(left, top + step / 2 - 2.2, label, name, size=8.5)
        x = left + label
        for part in parts:
            length = scale * float(of.get(part, Decimal(0)))
            if length > 0:
                page.set_fill_color(*COLORS[part])
                page.rect(x, top + 1, length, step - 2, style="F")
                x += length
        page.put(x + 1, top + step / 2 - 2.2, figure, f"{amount:,.2f}", size=8.5, style="B")


def _legend(page: Any, parts: Sequence[str], x: float, y: float, names: Mapping[str, str]) -> None:
    for part in parts:
        page.set_fill_color(*COLORS[part])
        page.rect(x, y + 1.2, 3, 3, style="F")
        page.set_font("sans", "", 8)
        width = page.get_string_width(names[part]) + 4
        page.put(x + 3, y + 0.8, width, names[part], size=8)
        x += width + 6
