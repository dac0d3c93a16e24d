"""What something would cost: the price in force for a kind of machine, and a quote for a launch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import F, Q

from costs import pricing
from costs.models import Basis, Price
from forge.accounts.models import Organization
from forge.api.errors import Refused
from workspaces.models import WorkSpace


class PriceMissing(Refused):
    code = "price_missing"
    title = "There is no price for this machine"
    suggested_action = "Ask finance or an administrator to enter the price, or choose another bundle or region."


class PriceInOtherCurrency(Refused):
    code = "price_in_other_currency"
    title = "The price is not in your organization's currency"
    suggested_action = "Ask finance or an administrator to enter the price in your organization's currency."


@dataclass(frozen=True)
class Quote:
    """What a machine would cost; amounts in `currency`, not rounded to cents.

    `monthly` is the fixed fees of a month. `estimated_cost` is the fees to the end of the UTC month or of the lifetime
    and `hours` of running; `reservation` the same with the hours that a budget holds.
    """

    hourly: Decimal
    monthly: Decimal
    hours: int
    estimated_cost: Decimal
    reservation: Decimal
    currency: str
    price_id: uuid.UUID
    source: str
    as_of: date
    basis: str = Basis.ESTIMATED


def price_for(
    *,
    organization: Organization,
    region: str,
    bundle_type: str,
    operating_system: str,
    running_mode: str,
    now: datetime,
    service_type: str = WorkSpace.ServiceType.PERSONAL,
) -> Price:
    """The price in force at `now`: the organization's own, else the one for all, in the organization's currency.

    Raises PriceInOtherCurrency when there is one in another currency only, else PriceMissing.
    """
    kind = {
        "service_type": str(service_type),
        "region": region,
        "bundle_type": bundle_type,
        "operating_system": operating_system,
        "running_mode": running_mode,
    }
    found = list(
        Price.objects.in_force(now)
        .filter(Q(organization_id=organization.id) | Q(organization__isnull=True), **kind)
        .order_by(F("organization_id").asc(nulls_last=True), "currency")
    )
    for price in found:
        if price.currency == organization.currency:
            return price
    text = f"{service_type} {bundle_type} {operating_system} {running_mode} in {region}"
    facts = kind | {"currency": organization.currency}
    if not found:
        raise PriceMissing(f"There is no price of {text} in {organization.currency}.", extra=facts)
    priced_in = sorted({price.currency for price in found})
    raise PriceInOtherCurrency(
        f"{text} is priced in {', '.join(priced_in)}, not in {organization.currency}.",
        extra=facts | {"priced_in": priced_in},
    )


def storage_price_missing(kind: str, storage_gb: int) -> PriceMissing:
    """The refusal of more storage than a kind of machine includes, where its price does not say what that costs."""
    return PriceMissing(
        f"There is no price of storage beyond what {kind} includes, and {storage_gb} GB are.",
        extra={"storage_gb": storage_gb},
    )


def of_keeping(*, workspace: WorkSpace, now: datetime) -> dict[str, Any] | None:
    """What a machine costs each month even if nobody starts it: the fixed fee, and the storage beyond the bundle's.

    From the price in force at `now`; `hourly` comes on top for each started hour. None where there is no price in the
    organization's currency.
    """
    try:
        price = price_for(
            organization=workspace.organization,
            region=workspace.region,
            bundle_type=workspace.bundle_type,
            operating_system=workspace.operating_system,
            running_mode=workspace.running_mode,
            service_type=workspace.service_type,
            now=now,
        )
    except (PriceMissing, PriceInOtherCurrency):
        return None
    volumes = workspace.root_volume_gb + workspace.user_volume_gb
    storage = price.storage_fee(volumes)
    return {
        "amount": price.monthly_amount + storage,
        "fee": price.monthly_amount,
        "storage": storage,
        "hourly": price.hourly_amount,
        "currency": price.currency,
        "basis": str(Basis.ESTIMATED),
        "price_id": price.id,
        "source": price.source,
        "as_of": price.as_of,
    }


def month_ahead(
    *, fees: Iterable[Decimal], hourly: Decimal, now: datetime, lifetime_end: datetime, hours: int
) -> Decimal:
    """Monthly `fees` from `now` to the end of the UTC month or of the lifetime, and as many of `hours` as fit in."""
    bound = min(pricing.month_of(now)[1], lifetime_end)
    accrued = sum((pricing.fees_of_stay(fee, now, bound) for fee in fees), Decimal(0))
    return accrued + hourly * pricing.reserved_hours(now, bound, hours)


def quote(*, price: Price, storage_gb: int, hours: int, lifetime_end: datetime, now: datetime) -> Quote:
    """What a machine with `storage_gb` of volumes would cost at `price` if it were there from now on.

    Raises PriceMissing where that has more storage than is included and it is not known what that costs.
    """
    if not price.prices_storage(storage_gb):
        raise storage_price_missing(str(price), storage_gb)
    storage = price.storage_fee(storage_gb)
    ahead: dict[str, Any] = {
        "fees": (price.monthly_amount, storage),
        "hourly": price.hourly_amount,
        "now": now,
        "lifetime_end": lifetime_end,
    }
    return Quote(
        hourly=price.hourly_amount,
        monthly=price.monthly_amount + storage,
        hours=hours,
        estimated_cost=month_ahead(**ahead, hours=hours),
        reservation=month_ahead(**ahead, hours=settings.FORGE_RESERVE_HOURS),
        currency=price.currency,
        price_id=price.id,
        source=price.source,
        as_of=price.as_of,
    )
