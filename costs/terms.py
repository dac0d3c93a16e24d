"""What a price may say: its terms, and the refusals of those that cannot be a price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from costs.pricing import hour_of
from forge.accounts.models import Organization
from forge.api.errors import Refused
from workspaces.capabilities import CAPABILITIES
from workspaces.models import WorkSpace

MOST = Decimal(1_000_000)
"""Of each amount of a price: far above any machine's, and whatever follows from it still fits NUMERIC(18,6)."""

AMOUNTS = ("monthly_amount", "hourly_amount", "storage_gb_month_amount", "transfer_gb_amount")


class AmountOutOfRange(Refused):
    code = "amount_out_of_range"
    title = "The amount does not fit"


class HourlyWhenAlwaysOn(Refused):
    code = "hourly_when_always_on"
    title = "AlwaysOn machines are paid by the month alone"


class NoSuchRunningMode(Refused):
    code = "no_such_running_mode"
    title = "The service has no such running mode"


class PriceNotWholeHours(Refused):
    code = "price_not_whole_hours"
    title = "A price begins and ends with a UTC hour"


class PriceEndsBeforeItStarts(Refused):
    code = "price_ends_before_it_starts"
    title = "The price ends before it starts"


class PriceReadInFuture(Refused):
    code = "price_read_in_future"
    title = "Nobody can have read this price yet"


class CurrencyNotUsed(Refused):
    code = "currency_not_used"
    title = "The organization reckons in another currency"


@dataclass(frozen=True, kw_only=True)
class PriceTerms:
    """What a price is for, what it says, where that was read, and from when to when it holds."""

    region: str
    bundle_type: str
    operating_system: str
    running_mode: str
    monthly_amount: Decimal
    currency: str
    source: str
    as_of: date
    valid_from: datetime
    valid_to: datetime | None = None
    hourly_amount: Decimal = Decimal(0)
    storage_gb_month_amount: Decimal | None = None
    included_storage_gb: int | None = None
    transfer_gb_amount: Decimal = Decimal(0)
    service_type: str = WorkSpace.ServiceType.PERSONAL


def check(terms: PriceTerms, *, organization: Organization | None, now: datetime) -> None:
    """Raises what is wrong with the terms, by the first fault; the reason of a price in the past is not among them."""
    for name in AMOUNTS:
        amount = getattr(terms, name)
        if amount is None:
            continue
        if not amount.is_finite() or not 0 <= amount <= MOST or amount != round(amount, 6):
            raise AmountOutOfRange(f"{name} is from 0 to {MOST}, with at most 6 places.")
    has_modes = CAPABILITIES[terms.service_type].has_running_modes
    if not has_modes and terms.running_mode != WorkSpace.RunningMode.AUTO_STOP:
        raise NoSuchRunningMode(f"A price of {terms.service_type} is one of AUTO_STOP.")
    if terms.running_mode == WorkSpace.RunningMode.ALWAYS_ON and terms.hourly_amount:
        raise HourlyWhenAlwaysOn("Give 0 as hourly_amount, or set a price for AUTO_STOP.")
    check_period(terms.valid_from, terms.valid_to)
    if terms.as_of > now.astimezone(UTC).date():
        raise PriceReadInFuture(f"as_of is {terms.as_of}; today is {now:%Y-%m-%d}.")
    if organization is not None and terms.currency != organization.currency:
        raise CurrencyNotUsed(
            f"{organization.slug} reckons in {organization.currency}; a price in {terms.currency} would never be used.",
            extra={"currency": organization.currency},
        )


def check_period(valid_from: datetime, valid_to: datetime | None) -> None:
    """Raises PriceNotWholeHours, PriceEndsBeforeItStarts."""
    if hour_of(valid_from) != valid_from or (valid_to is not None and hour_of(valid_to) != valid_to):
        raise PriceNotWholeHours("valid_from and valid_to are whole UTC hours, such as 2026-03-01T00:00:00Z.")
    if valid_to is not None and valid_to <= valid_from:
        raise PriceEndsBeforeItStarts(f"It starts at {instant(valid_from)} and would end at {instant(valid_to)}.")


def as_recorded(values: dict[str, Any]) -> dict[str, Any]:
    """Terms as the audit log keeps them: text, or null."""
    return {
        name: instant(value) if isinstance(value, datetime) else str(value) if value is not None else None
        for name, value in values.items()
    }


def instant(at: datetime) -> str:
    """An instant in UTC to the second, as prices are told of."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
