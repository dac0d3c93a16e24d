"""A limit as a bar: what is spent, what is reserved, what is forecast, and marks where people are told."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

MARKS = (Decimal("0.80"), Decimal(1))
MOST = Decimal(2)
"""A bar shows at most so many times its limit."""


def bar(
    *,
    limit: Decimal,
    spent: Decimal,
    reserved: Decimal,
    forecast: Decimal | None = None,
    marks: Iterable[Decimal] = MARKS,
) -> SafeString:
    """The bar and the same in words; shapes and words say all that the colours do."""
    words = [f"{percent(spent, limit)} % spent", f"{percent(reserved, limit)} % reserved"]
    if forecast is not None:
        words.append(f"{percent(forecast, limit)} % forecast")
    if not limit:
        return render_to_string("adminkit/bar.html", {"words": "nothing is allowed"})
    end = min(max(limit, spent + reserved, forecast or Decimal(0)), MOST * limit)
    shown = {
        "words": ", ".join(words),
        "spent": _share(spent, end),
        "reserved": min(_share(reserved, end), 100 - _share(spent, end)),
        "forecast": None if forecast is None else _share(forecast, end),
        "marks": [
            (_share(mark * limit, end), f"{(100 * mark).normalize():f} %", mark == 1)
            for mark in sorted({*marks, Decimal(1)})
            if mark * limit <= end
        ],
    }
    return render_to_string("adminkit/bar.html", shown)


def percent(part: Decimal, limit: Decimal) -> int:
    """A part of the limit in whole per cent, rounded down; 0 of a limit that allows nothing."""
    return int(100 * part / limit) if limit else 0


def _share(part: Decimal, end: Decimal) -> Decimal:
    """Where `part` lies on a bar that is `end` long, in per cent to a tenth."""
    return min(100 * part / end, Decimal(100)).quantize(Decimal("0.1"))
