"""Which figures of AWS's list are the prices of which machines; what is not beyond doubt is told and left out.

What the rows of AmazonWorkSpaces say, as public readers of the list have found it (github.com/bengroeneveldsg,
workspaces-euc-mcp-server, tools/pricing.py; the open cost optimizers that read `runningMode`, `license`, `bundle` and
`storage`); AWS documents the form of the list, not these values:

- productFamily "Enterprise Applications" is WorkSpaces Personal; the same bundles stand again, at other prices, under
  "WorkSpaces Core";
- `bundle` is the compute type, "Power"; "Power-0" to "Power-3" are the same with other volumes, "… Plus" has software;
- `license` is Included (Windows), None (Amazon Linux, Ubuntu) or Bring Your Own License;
- `runningMode` is AlwaysOn (one figure by the Month) or AutoStop (one by the Month, one by the Hour, which is that of
  the compute type and stands at the bundle without a suffix);
- `storage` is "Root:80 GB,User:50 GB"; what a machine has beyond is sold under the bundle "Storage" by GB and month;
- rows of 0 belong to software and trials.

Forge knows no licences: neither a machine nor a bundle of a blueprint says whose it is. So WINDOWS is taken with the
licence included, which is the dearer, and rows for licences of one's own are told; who brings them sets a price of the
organization. LINUX is what AWS sells without a licence; distributions with one are told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from blueprints.models import BundleType, OperatingSystem
from costs.pricelist.rows import PriceRow
from workspaces.bundles import BUNDLES
from workspaces.models import WorkSpace

PERSONAL_FAMILY = "Enterprise Applications"

BUNDLE_NAMES = {
    "Standard": BundleType.STANDARD,
    "Performance": BundleType.PERFORMANCE,
    "Power": BundleType.POWER,
    "PowerPro": BundleType.POWERPRO,
    "Graphics.g4dn": BundleType.GRAPHICS_G4DN,
    "GraphicsPro.g4dn": BundleType.GRAPHICSPRO_G4DN,
}
SYSTEMS = {
    ("Windows", "Included"): OperatingSystem.WINDOWS,
    ("Amazon Linux", "None"): OperatingSystem.LINUX,
    ("Ubuntu Linux", "None"): OperatingSystem.LINUX,
}
MODES = {"AlwaysOn": WorkSpace.RunningMode.ALWAYS_ON, "AutoStop": WorkSpace.RunningMode.AUTO_STOP}
PER_MONTH, PER_HOUR = "month", "hour"
PER_GB_MONTH = ("gb-month", "gb-mo", "gbmonth")
STORAGE_BUNDLE = "Storage"
EXAMPLES = 5
"""Places that are told of each reason for which rows were left out."""


class Kind(NamedTuple):
    """What a price of WorkSpaces Personal is for."""

    region: str
    bundle_type: str
    operating_system: str
    running_mode: str
    currency: str


class NotOurs(Exception):
    """Why a row is no price of a machine of Forge."""


@dataclass(frozen=True)
class Offer:
    """What AWS asks for one kind of machine; `storage_gb_month` None = the list does not say."""

    kind: Kind
    monthly: Decimal
    hourly: Decimal
    storage_gb_month: Decimal | None
    effective_at: datetime


@dataclass
class _Figures:
    """The different amounts that were found for one thing, and the latest instant since which one holds."""

    amounts: dict[Decimal, str]
    effective_at: datetime

    def add(self, row: PriceRow) -> None:
        self.amounts.setdefault(row.amount, row.place)
        self.effective_at = max(self.effective_at, row.effective_at)


class Offers:
    """Collects the rows of a list, of `regions` alone; memory grows with kinds of machines, not with rows."""

    def __init__(self, regions: set[str]) -> None:
        self._regions = regions
        self._found: dict[tuple[Kind, str], _Figures] = {}
        self._storage: dict[tuple[str, str], _Figures] = {}
        self._left: dict[str, list[str]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)
        self.rows = 0

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

    def __iter__(self) -> Iterator[Offer]:
        """The prices that are whole and beyond doubt, in order; notes why the others are not."""
        for (region, currency), found in sorted(self._storage.items()):
            if len(found.amounts) > 1:
                self._doubt(f"storage in {region} in {currency}", "GB and month", found)
        for kind in sorted({kind for kind, _ in self._found}):
            monthly = self._only(kind, PER_MONTH)
            is_hourly = kind.running_mode == WorkSpace.RunningMode.AUTO_STOP
            hourly = self._only(kind, PER_HOUR) if is_hourly else Decimal(0)
            if monthly is None or hourly is None:
                continue
            units = (PER_MONTH, PER_HOUR) if is_hourly else (PER_MONTH,)
            yield Offer(
                kind=kind,
                monthly=monthly,
                hourly=hourly,
                storage_gb_month=self._storage_price(kind),
                effective_at=max(self._found[kind, unit].effective_at for unit in units),
            )

    def _take(self, region: str, row: PriceRow) -> None:
        _require_plain_price(region, row)
        bundle = row.says("bundle")
        if bundle == STORAGE_BUNDLE:
            if row.unit not in PER_GB_MONTH:
                raise NotOurs(f"storage by the {row.unit}")
            _note(self._storage, (region, row.currency), row)
            return
        kind, is_variant = _kind_of(region, row)
        if row.unit == PER_MONTH:
            _require_volumes(kind.bundle_type, row)
        elif row.unit != PER_HOUR or kind.running_mode != WorkSpace.RunningMode.AUTO_STOP:
            raise NotOurs(f"{row.says('runningmode')} by the {row.unit or 'nothing'}")
        elif is_variant:
            raise NotOurs("an hour of a bundle with other volumes")
        _note(self._found, (kind, row.unit), row)

    def _only(self, kind: Kind, unit: str) -> Decimal | None:
        text = f"{kind.bundle_type} {kind.operating_system} {kind.running_mode} in {kind.region}"
        found = self._found.get((kind, unit))
        if found is None:
            self.leave(f"no figure by the {unit}: the price is not whole", text)
            return None
        if len(found.amounts) > 1:
            self._doubt(text, unit, found)
            return None
        return next(iter(found.amounts))

    def _storage_price(self, kind: Kind) -> Decimal | None:
        found = self._storage.get((kind.region, kind.currency))
        if found is None:
            return None
        return next(iter(found.amounts)) if len(found.amounts) == 1 else None

    def _doubt(self, text: str, unit: str, found: _Figures) -> None:
        told = "; ".join(f"{amount} at {place}" for amount, place in sorted(found.amounts.items())[:EXAMPLES])
        self.leave("several figures for the same", f"{text} by the {unit}: {told}")


def _note(found: dict[Any, _Figures], key: Any, row: PriceRow) -> None:
    if key in found:
        found[key].add(row)
    else:
        found[key] = _Figures({row.amount: row.place}, row.effective_at)


def _require_plain_price(region: str, row: PriceRow) -> None:
    """Raises NotOurs unless the row is one figure, on demand, for hardware of WorkSpaces Personal in a region."""
    if not region:
        raise NotOurs("no region code")
    if row.says("locationtype") not in ("", "AWS Region"):
        raise NotOurs(f"location type {row.says('locationtype')}")
    if row.family != PERSONAL_FAMILY:
        raise NotOurs(f"product family {row.family or 'none'}")
    if row.says("resourcetype") not in ("", "Hardware"):
        raise NotOurs(f"resource type {row.says('resourcetype')}")
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


def _kind_of(region: str, row: PriceRow) -> tuple[Kind, bool]:
    """The kind of machine, and whether the bundle is one with other volumes; raises NotOurs."""
    name, dash, number = row.says("bundle").rpartition("-")
    if not (dash and number.isdecimal()):
        name, dash = row.says("bundle"), ""
    bundle_type = BUNDLE_NAMES.get(name)
    if bundle_type is None:
        raise NotOurs(f"bundle {name[:40] or 'none'}")
    mode = MODES.get(row.says("runningmode"))
    if mode is None:
        raise NotOurs(f"running mode {row.says('runningmode')[:40] or 'none'}")
    licence = row.says("license")
    if licence.startswith("Bring Your Own"):
        raise NotOurs("a licence of one's own; no machine says that it has one")
    system = SYSTEMS.get((row.says("operatingsystem"), licence))
    if system is None:
        named = row.says("operatingsystem")[:40] or "none"
        raise NotOurs(f"operating system {named}, licence {licence[:40] or 'none'}")
    return Kind(region, str(bundle_type), str(system), str(mode), row.currency), bool(dash)


def _require_volumes(bundle_type: str, row: PriceRow) -> None:
    size = BUNDLES[bundle_type]
    wanted = f"Root:{size.root_volume_gb}GB,User:{size.user_volume_gb}GB".lower()
    if row.says("storage").replace(" ", "").lower() != wanted:
        raise NotOurs("other volumes than the bundle comes with")
