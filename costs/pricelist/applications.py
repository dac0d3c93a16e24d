"""Which figures of AWS's list AmazonAppStream are the prices of WorkSpaces Applications.

What the rows say, as public readers of the list have found it (github.com/bengroeneveldsg, workspaces-euc-mcp-server,
its reference of the Price List API and the tests of tools/pricing.py; a public specification of the list's attributes
in Clojure, computesoftware csp-pricing): AWS documents the form of the list, not these values.

- productFamily "Streaming Instance": `instanceFunction` is Fleet (what runs while one person streams), and also
  MultiSessionFleet, ElasticFleet, ImageBuilder, AppBlockBuilder; `instanceType` is the fleet's, by the hour;
- `operatingSystem` is Windows (licence included), "Windows BYOL", "Amazon Linux" and others;
- productFamily "User Fees": Microsoft's licence for a user and month, on top of the hours of fleets of Windows with the
  licence included and of no others; usage type "…Win-User" is that of one session on an instance;
- productFamily "Stopped Instance" is what waits in a fleet, which is nobody's (docs/decisions/0004-applications.md).

So a price of WINDOWS is the user's fee and the instance's hour, and one of LINUX the hour alone. Instance types that
are as large as no bundle type are told and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from blueprints.models import OperatingSystem
from costs.pricelist.collecting import Figures, Kind, NotOurs, Offer, Offers, note, require_plain_figure
from costs.pricelist.rows import PriceRow
from workspaces.aws.sizes import BUNDLE_OF_INSTANCE
from workspaces.models import WorkSpace

STREAMING, USER_FEES = "Streaming Instance", "User Fees"
FUNCTION = "Fleet"
SYSTEMS = {"Windows": OperatingSystem.WINDOWS, "Amazon Linux": OperatingSystem.LINUX}
PER_HOUR, PER_USER = ("hour", "hours", "hrs"), ("user", "users", "month")
USER_FEE = re.compile(r"([A-Z0-9]+-)?Win-User")


class ApplicationOffers(Offers):
    """The list of AmazonAppStream: prices of WorkSpaces Applications."""

    name = "AmazonAppStream"

    def __init__(self, regions: set[str]) -> None:
        super().__init__(regions)
        self._hours: dict[Kind, Figures] = {}
        self._fees: dict[tuple[str, str], Figures] = {}

    def __iter__(self) -> Iterator[Offer]:
        for kind in sorted(self._hours):
            text = f"{kind.bundle_type} {kind.operating_system} of WorkSpaces Applications in {kind.region}"
            found = [self._hours[kind]]
            hourly, monthly = self._only(self._hours[kind], text, "hour"), Decimal(0)
            if kind.operating_system == OperatingSystem.WINDOWS:
                fee = self._fees.get((kind.region, kind.currency))
                by_user = self._only(fee, text, "user")
                if fee is None or by_user is None:
                    continue
                found.append(fee)
                monthly = by_user
            if hourly is None:
                continue
            yield Offer(
                kind=kind,
                monthly=monthly,
                hourly=hourly,
                storage_gb_month=Decimal(0),
                included_storage_gb=0,
                effective_at=max(one.effective_at for one in found),
            )

    def _take(self, region: str, row: PriceRow) -> None:
        if row.family not in (STREAMING, USER_FEES):
            raise NotOurs(f"product family {row.family or 'none'}")
        require_plain_figure(region, row)
        if row.family == USER_FEES:
            self._take_fee(region, row)
            return
        if row.says("instancefunction") != FUNCTION:
            raise NotOurs(f"instance function {row.says('instancefunction')[:40] or 'none'}")
        if row.unit not in PER_HOUR:
            raise NotOurs(f"an instance by the {row.unit or 'nothing'}")
        bundle_type = BUNDLE_OF_INSTANCE.get(row.says("instancetype"))
        if bundle_type is None:
            raise NotOurs(f"instance type {row.says('instancetype')[:40] or 'none'}, as large as no bundle")
        system = SYSTEMS.get(row.says("operatingsystem"))
        if system is None:
            raise NotOurs(f"operating system {row.says('operatingsystem')[:40] or 'none'}")
        kind = Kind(
            region,
            bundle_type,
            str(system),
            str(WorkSpace.RunningMode.AUTO_STOP),
            row.currency,
            str(WorkSpace.ServiceType.APPLICATIONS),
        )
        note(self._hours, kind, row)

    def _take_fee(self, region: str, row: PriceRow) -> None:
        if USER_FEE.fullmatch(row.says("usagetype")) is None:
            raise NotOurs(f"user fee {row.says('usagetype')[:40] or 'none'}")
        if row.unit not in PER_USER:
            raise NotOurs(f"a user's fee by the {row.unit or 'nothing'}")
        note(self._fees, (region, row.currency), row)
