"""What is collected from a list of AWS, of whichever service: the figures by kind, and what was left out and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from costs.pricelist.rows import PriceRow

EXAMPLES = 5
"""Places that are told of each reason for which rows were left out."""


class Kind(NamedTuple):
    """What a price is for."""

    region: str
    bundle_type: str
    operating_system: str
    running_mode: str
    currency: str
    service_type: str


class NotOurs(Exception):
    """Why a row is no price of a machine of Forge."""


@dataclass(frozen=True)
class Offer:
    """What AWS asks for one kind of machine with so many GB; `storage_gb_month` None = the list does not say."""

    kind: Kind
    monthly: Decimal
    hourly: Decimal
    storage_gb_month: Decimal | None
    included_storage_gb: int
    effective_at: datetime


@dataclass
class Figures:
    """The different amounts that were found for one thing, and the latest instant since which one holds."""

    amounts: dict[Decimal, str]
    effective_at: datetime

    def add(self, row: PriceRow) -> None:
        self.amounts.setdefault(row.amount, row.place)
        self.effective_at = max(self.effective_at, row.effective_at)


class Offers:
    """Collects the rows of a list, of `regions` alone; memory grows with kinds of machines, not with rows."""

    name: str
    """What AWS calls the list."""

    def __init__(self, regions: set[str]) -> None:
        self._regions = regions
        self._left: dict[str, list[str]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)
        self.rows = 0

    def __iter__(self) -> Iterator[Offer]:
        """The prices that are whole and beyond doubt, in order; notes why the others are not."""
        raise NotImplementedError

    def add(self, row: PriceRow) -> None:
        """Take the row for what it is, or note why not; rows of other regions are passed over."""
        region = row.says("regioncode")
        if region and region not in self._regions:
            return
        self.rows += 1
        try:
            self._take(region, row)
        except NotOurs as reason:
            self.leave(str(reason), row.place)

    def leave(self, reason: str, place: str) -> None:
        """Note what is not taken, and why."""
        self._counts[reason] += 1
        if len(self._left[reason]) < EXAMPLES:
            self._left[reason].append(place)

    @property
    def left_out(self) -> list[dict[str, object]]:
        """What was not taken, by reason: how many rows, and the first places."""
        return [
            {"reason": reason, "rows": self._counts[reason], "first": self._left[reason]}
            for reason in sorted(self._left)
        ]

    def _take(self, region: str, row: PriceRow) -> None:
        raise NotImplementedError

    def _only(self, found: Figures | None, text: str, unit: str) -> Decimal | None:
        """The figure that was found; None, and noted, where there is none or are several."""
        if found is None:
            self.leave(f"no figure by the {unit}: the price is not whole", text)
            return None
        if len(found.amounts) > 1:
            self._doubt(text, unit, found)
            return None
        return next(iter(found.amounts))

    def _doubt(self, text: str, unit: str, found: Figures) -> None:
        told = "; ".join(f"{amount} at {place}" for amount, place in sorted(found.amounts.items())[:EXAMPLES])
        self.leave("several figures for the same", f"{text} by the {unit}: {told}")


def note(found: dict[Any, Figures], key: Any, row: PriceRow) -> None:
    """Keep the row's figure under the key."""
    if key in found:
        found[key].add(row)
    else:
        found[key] = Figures({row.amount: row.place}, row.effective_at)


def require_plain_figure(region: str, row: PriceRow) -> None:
    """Raises NotOurs unless the row is one figure above 0, on demand, in a region."""
    if not region:
        raise NotOurs("no region code")
    if row.says("locationtype") not in ("", "AWS Region"):
        raise NotOurs(f"location type {row.says('locationtype')}")
    if row.term != "OnDemand":
        raise NotOurs(f"term {row.term or 'none'}")
    if row.first not in ("", "0") or row.last not in ("", "Inf"):
        raise NotOurs("a figure that depends on the quantity")
    if row.amount < 0:
        raise NotOurs("a figure below 0")
    if row.amount == 0:
        raise NotOurs("a figure of 0")
    if row.amount != round(row.amount, 6):
        raise NotOurs("a figure of more than 6 places")
    if not re.fullmatch(r"[A-Z]{3}", row.currency):
        raise NotOurs(f"currency {row.currency[:10]!r}")
