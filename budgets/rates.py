"""What a kind of machine costs, from the price book, in the form that the ledger reckons with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from budgets.binding import Rate
from costs import pricing, quotes
from costs.dues import dues_of, kinds_of
from costs.forecasts import prices_of
from costs.models import Price
from costs.pricing import HOUR, hour_of, hour_up, month_of
from forge.accounts.models import Organization
from workspaces.intents import Intent
from workspaces.models import WorkSpace

Kind = tuple[str, str, str, str, str, int]
"""Service type, region, bundle type, operating system, running mode, GB of volumes: what a rate follows from."""


def kind_of(of: Intent | WorkSpace) -> Kind:
    """What the rate of a machine, or of one that is to be, follows from."""
    service_type, bundle_type, system, mode = map(
        str, (of.service_type, of.bundle_type, of.operating_system, of.running_mode)
    )
    return service_type, of.region, bundle_type, system, mode, of.root_volume_gb + of.user_volume_gb


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


def rate_or_nothing(organization: Organization, kind: Kind, *, modes: str, now: datetime) -> Rate:
    """The rate by which metering books such machines now, the last one where prices have ended; nothing where the
    price book never had one, since then nothing can be metered either.
    """
    return rates_or_nothing(organization, [(kind, modes)], now=now)[kind, modes]


def rates_or_nothing(
    organization: Organization, kinds: Iterable[tuple[Kind, str]], *, now: datetime
) -> dict[tuple[Kind, str], Rate]:
    """The same of many kinds and modes, asked of the price book at once."""
    wanted = list(kinds)
    of_prices = [one for kind, modes in wanted for one in kinds_of(kind[:5], modes)]
    prices = prices_of(of_prices, organization=organization, now=now)
    nothing = Rate(Decimal(0), Decimal(0), Decimal(0))
    return {one: _booked(*one, prices, now=now) or nothing for one in wanted}


def rate_as_booked(organization: Organization, kind: Kind, *, modes: str, now: datetime) -> Rate | None:
    """The rate by which metering books such machines now; None where no price of them is known at all.

    `modes` is what the machine is charged by to the end of the month (costs.dues). `is_current` is False where the
    price has ended and is the last that is known: what is booked by it is ESTIMATED.
    """
    prices = prices_of(kinds_of(kind[:5], modes), organization=organization, now=now)
    return _booked(kind, modes, prices, now=now)


def _booked(
    kind: Kind, modes: str, prices: Mapping[tuple[str, str, str, str, str], Price], *, now: datetime
) -> Rate | None:
    of_price, storage_gb = kind[:5], kind[5]
    price = prices.get(of_price)
    if price is None:
        return None
    rate = _rate(price, storage_gb, is_current=price.is_in_force(now))
    if modes == of_price[4]:
        return rate
    return replace(rate, dues=dues_of(of_price, modes, storage_gb, prices, now=now))


def charged_by(rate: Rate, organization: Organization, kind: Kind, *, modes: str, now: datetime) -> Rate:
    """The rate of such a machine that is charged by `modes` to the end of the month."""
    booked = rate_as_booked(organization, kind, modes=modes, now=now)
    return replace(rate, dues=booked.dues if booked else None)


def _rate(price: Price, storage_gb: int, *, is_current: bool = True) -> Rate:
    return Rate(
        fee=price.monthly_amount,
        storage_fee=price.storage_fee(storage_gb),
        hourly=price.hourly_amount,
        is_current=is_current,
        has_storage_price=price.prices_storage(storage_gb),
    )


def month_ahead(rate: Rate, *, now: datetime, lifetime_end: datetime, hours: int) -> Decimal:
    """What the machine is expected to cost to the end of the UTC month: its fees, and `hours` hours of running."""
    if rate.dues is not None:
        end = min(month_of(now)[1], lifetime_end)
        fees = rate.dues.fees_between(hour_of(now), hour_up(end))
        return fees + rate.dues.running(now, end, hours) if now < end else Decimal(0)
    return quotes.month_ahead(
        fees=(rate.fee, rate.storage_fee), hourly=rate.hourly, now=now, lifetime_end=lifetime_end, hours=hours
    )


def rest_of_month(rate: Rate, now: datetime) -> Decimal:
    """The fees that a machine which ends now owes beyond this hour."""
    if rate.dues is not None:
        return rate.dues.fees_between(hour_of(now) + HOUR, rate.dues.turn)
    return pricing.rest_of_month(rate.fee, hour_of(now)) + pricing.rest_of_month(rate.storage_fee, hour_of(now))
