"""What a kind of machine costs, from the price book, in the form that the ledger reckons with."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from budgets.binding import Rate
from costs import quotes
from costs.forecasts import prices_of
from costs.models import Price
from costs.pricing import storage_fee
from forge.accounts.models import Organization
from workspaces.models import WorkSpace

Kind = tuple[str, str, str, str, str, int]
"""Service type, region, bundle type, operating system, running mode, GB of volumes: what a rate follows from."""


def rate_of(
    *,
    organization: Organization,
    region: str,
    bundle_type: str,
    operating_system: str,
    running_mode: str,
    storage_gb: int,
    now: datetime,
    service_type: str = WorkSpace.ServiceType.PERSONAL,
) -> Rate:
    """The rate in the organization's currency; raises what costs.quotes.price_for refuses."""
    price = quotes.price_for(
        organization=organization,
        region=region,
        bundle_type=bundle_type,
        operating_system=operating_system,
        running_mode=running_mode,
        service_type=service_type,
        now=now,
    )
    return _rate(price, storage_gb)


def rate_or_nothing(organization: Organization, kind: Kind, *, now: datetime) -> Rate:
    """The rate by which metering books such machines now, the last one where prices have ended; nothing where the
    price book never had one, since then nothing can be metered either.
    """
    return rate_as_booked(organization, kind, now=now) or Rate(Decimal(0), Decimal(0), Decimal(0))


def rate_as_booked(organization: Organization, kind: Kind, *, now: datetime) -> Rate | None:
    """The rate by which metering books such machines now; None where no price of them is known at all.

    `is_current` is False where the price has ended and is the last that is known: what is booked by it is ESTIMATED.
    """
    of_price, storage_gb = kind[:5], kind[5]
    price = prices_of([of_price], organization=organization, now=now).get(of_price)
    if price is None:
        return None
    return _rate(price, storage_gb, is_current=price.is_in_force(now))


def _rate(price: Price, storage_gb: int, *, is_current: bool = True) -> Rate:
    return Rate(
        fee=price.monthly_amount,
        storage_fee=storage_fee(storage_gb, price.included_storage_gb, price.storage_gb_month_amount),
        hourly=price.hourly_amount,
        is_current=is_current,
    )


def month_ahead(rate: Rate, *, now: datetime, lifetime_end: datetime, hours: int) -> Decimal:
    """What the machine is expected to cost to the end of the UTC month: its fees, and `hours` hours of running."""
    return quotes.month_ahead(
        fees=(rate.fee, rate.storage_fee), hourly=rate.hourly, now=now, lifetime_end=lifetime_end, hours=hours
    )
