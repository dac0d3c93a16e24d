"""Every change to the price book: set a price, give it an end. What stands in a price never changes."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from audit.actors import Actor
from audit.services import record
from costs import actions, permissions
from costs.models import Price
from costs.pricing import HOUR, hour_of
from forge.accounts.models import Organization
from forge.api.errors import Conflict, Refused
from forge.db.integrity import refusing
from workspaces.bundles import BUNDLES
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


class PriceEndsInPast(Refused):
    code = "price_ends_in_past"
    title = "Hours that are past keep their price"


class PriceReadInFuture(Refused):
    code = "price_read_in_future"
    title = "Nobody can have read this price yet"


class CurrencyNotUsed(Refused):
    code = "currency_not_used"
    title = "The organization reckons in another currency"


class PricesOverlap(Conflict):
    code = "prices_overlap"
    title = "There is a price for this in the same time already"
    suggested_action = "Close that price first; set this one from the hour at which it ends."


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
    storage_gb_month_amount: Decimal = Decimal(0)
    included_storage_gb: int | None = None
    transfer_gb_amount: Decimal = Decimal(0)
    service_type: str = WorkSpace.ServiceType.PERSONAL


def set_price(*, actor: Actor, organization: Organization | None, terms: PriceTerms, now: datetime) -> Price:
    """A price of the organization, or for all (None); `included_storage_gb` None = what the bundle comes with.

    It may begin in the past: hours that are booked keep their price, those that waited for one get it. Raises
    MayNotSetPrices, AmountOutOfRange, HourlyWhenAlwaysOn, NoSuchRunningMode, PriceNotWholeHours,
    PriceEndsBeforeItStarts, PriceReadInFuture, CurrencyNotUsed, PricesOverlap.
    """
    organization_id = organization.id if organization is not None else None
    permissions.require_price(actor, organization_id)
    _check(terms, organization=organization, now=now)
    values = asdict(terms)
    if terms.included_storage_gb is None:
        size = BUNDLES[terms.bundle_type]
        values["included_storage_gb"] = size.root_volume_gb + size.user_volume_gb
    price = Price(organization=organization, **values)
    with refusing({"costs_price_no_two_at_once": PricesOverlap()}):
        price.save(force_insert=True)
        record(
            actor=actor,
            action=actions.PRICE_CREATE,
            resource_type="Price",
            resource_id=str(price.pk),
            description=f"Set price {price.pk}",
            organization_id=organization_id,
            changes={"before": None, "after": _as_recorded(values)},
            occurred_at=now,
        )
    return price


def close_price(*, actor: Actor, price_id: uuid.UUID, now: datetime, valid_to: datetime | None = None) -> Price:
    """Let a price end at `valid_to`, else with the running hour; an end that lies ahead may be moved.

    Raises MayNotSetPrices, PriceNotWholeHours, PriceEndsInPast, PriceEndsBeforeItStarts, PricesOverlap.
    """
    ends_at = valid_to or hour_of(now) + HOUR
    with refusing({"costs_price_no_two_at_once": PricesOverlap()}):
        price = Price.objects.select_for_update(no_key=True).get(pk=price_id)
        permissions.require_price(actor, price.organization_id)
        if price.valid_to is not None and price.valid_to <= now:
            raise PriceEndsInPast(f"The price has ended at {_instant(price.valid_to)}.")
        if ends_at <= hour_of(now):
            raise PriceEndsInPast(f"The earliest end is {_instant(hour_of(now) + HOUR)}.")
        _check_period(price.valid_from, ends_at)
        before = price.valid_to
        price.valid_to = ends_at
        price.save(update_fields=["valid_to", "updated_at"])
        record(
            actor=actor,
            action=actions.PRICE_CLOSE,
            resource_type="Price",
            resource_id=str(price.pk),
            description=f"Gave price {price.pk} an end",
            organization_id=price.organization_id,
            changes={
                "before": {"valid_to": _instant(before) if before else None},
                "after": {"valid_to": _instant(ends_at)},
            },
            occurred_at=now,
        )
    return price


def _check(terms: PriceTerms, *, organization: Organization | None, now: datetime) -> None:
    for name in AMOUNTS:
        amount = getattr(terms, name)
        if not amount.is_finite() or not 0 <= amount <= MOST or amount != round(amount, 6):
            raise AmountOutOfRange(f"{name} is from 0 to {MOST}, with at most 6 places.")
    has_modes = CAPABILITIES[terms.service_type].has_running_modes
    if not has_modes and terms.running_mode != WorkSpace.RunningMode.AUTO_STOP:
        raise NoSuchRunningMode(f"A price of {terms.service_type} is one of AUTO_STOP.")
    if terms.running_mode == WorkSpace.RunningMode.ALWAYS_ON and terms.hourly_amount:
        raise HourlyWhenAlwaysOn("Give 0 as hourly_amount, or set a price for AUTO_STOP.")
    _check_period(terms.valid_from, terms.valid_to)
    if terms.as_of > now.astimezone(UTC).date():
        raise PriceReadInFuture(f"as_of is {terms.as_of}; today is {now:%Y-%m-%d}.")
    if organization is not None and terms.currency != organization.currency:
        raise CurrencyNotUsed(
            f"{organization.slug} reckons in {organization.currency}; a price in {terms.currency} would never be used.",
            extra={"currency": organization.currency},
        )


def _check_period(valid_from: datetime, valid_to: datetime | None) -> None:
    if hour_of(valid_from) != valid_from or (valid_to is not None and hour_of(valid_to) != valid_to):
        raise PriceNotWholeHours("valid_from and valid_to are whole UTC hours, such as 2026-03-01T00:00:00Z.")
    if valid_to is not None and valid_to <= valid_from:
        raise PriceEndsBeforeItStarts(f"It starts at {_instant(valid_from)} and would end at {_instant(valid_to)}.")


def _as_recorded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _instant(value) if isinstance(value, datetime) else str(value) if value is not None else None
        for name, value in values.items()
    }


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
