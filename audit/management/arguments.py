"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from datetime import date, datetime


def as_month(text: str) -> date:
    """The first day of the month `YYYY-MM`; raises ArgumentTypeError."""
    try:
        return datetime.strptime(f"{text}-01+0000", "%Y-%m-%d%z").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no month of the form YYYY-MM") from None
