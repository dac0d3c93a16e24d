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

from collections.abc import Iterator
from decimal import Decimal

from blueprints.models import BundleType, OperatingSystem
from costs.pricelist.collecting import Figures, Kind, NotOurs, Offer, Offers, note, require_plain_figure
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


class PersonalOffers(Offers):
    """The list of AmazonWorkSpaces: prices of WorkSpaces Personal."""

    name = "AmazonWorkSpaces"

    def __init__(self, regions: set[str]) -> None:
        super().__init__(regions)
        self._found: dict[tuple[Kind, str], Figures] = {}
        self._storage: dict[tuple[str, str], Figures] = {}

    def __iter__(self) -> Iterator[Offer]:
        for (region, currency), found in sorted(self._storage.items()):
            if len(found.amounts) > 1:
                self._doubt(f"storage in {region} in {currency}", "GB and month", found)
        for kind in sorted({kind for kind, _ in self._found}):
            text = f"{kind.bundle_type} {kind.operating_system} {kind.running_mode} in {kind.region}"
            monthly = self._only(self._found.get((kind, PER_MONTH)), text, PER_MONTH)
            is_hourly = kind.running_mode == WorkSpace.RunningMode.AUTO_STOP
            hourly = self._only(self._found.get((kind, PER_HOUR)), text, PER_HOUR) if is_hourly else Decimal(0)
            if monthly is None or hourly is None:
                continue
            units = (PER_MONTH, PER_HOUR) if is_hourly else (PER_MONTH,)
            size = BUNDLES[kind.bundle_type]
            yield Offer(
                kind=kind,
                monthly=monthly,
                hourly=hourly,
                storage_gb_month=self._storage_price(kind),
                included_storage_gb=size.root_volume_gb + size.user_volume_gb,
                effective_at=max(self._found[kind, unit].effective_at for unit in units),
            )

    def _take(self, region: str, row: PriceRow) -> None:
        _require_hardware(region, row)
        bundle = row.says("bundle")
        if bundle == STORAGE_BUNDLE:
            if row.unit not in PER_GB_MONTH:
                raise NotOurs(f"storage by the {row.unit}")
            note(self._storage, (region, row.currency), row)
            return
        kind, is_variant = _kind_of(region, row)
        if row.unit == PER_MONTH:
            _require_volumes(kind.bundle_type, row)
        elif row.unit != PER_HOUR or kind.running_mode != WorkSpace.RunningMode.AUTO_STOP:
            raise NotOurs(f"{row.says('runningmode')} by the {row.unit or 'nothing'}")
        elif is_variant:
            raise NotOurs("an hour of a bundle with other volumes")
        note(self._found, (kind, row.unit), row)

    def _storage_price(self, kind: Kind) -> Decimal | None:
        found = self._storage.get((kind.region, kind.currency))
        if found is None:
            return None
        return next(iter(found.amounts)) if len(found.amounts) == 1 else None


def _require_hardware(region: str, row: PriceRow) -> None:
    """Raises NotOurs unless the row is a plain figure for hardware of WorkSpaces Personal."""
    if row.family != PERSONAL_FAMILY:
        raise NotOurs(f"product family {row.family or 'none'}")
    if row.says("resourcetype") not in ("", "Hardware"):
        raise NotOurs(f"resource type {row.says('resourcetype')}")
    require_plain_figure(region, row)


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
    personal = str(WorkSpace.ServiceType.PERSONAL)
    return Kind(region, str(bundle_type), str(system), str(mode), row.currency, personal), bool(dash)


def _require_volumes(bundle_type: str, row: PriceRow) -> None:
    size = BUNDLES[bundle_type]
    wanted = f"Root:{size.root_volume_gb}GB,User:{size.user_volume_gb}GB".lower()
    if row.says("storage").replace(" ", "").lower() != wanted:
        raise NotOurs("other volumes than the bundle comes with")
