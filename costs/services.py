"""Every change to the price book: set a price, give it an end, confirm it. What a price asks for never changes."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, Q

from audit.actors import Actor
from audit.services import Entry, append, record
from costs import actions, permissions, rerating
from costs.corrections import make_room
from costs.models import Price
from costs.pricing import HOUR, hour_of
from costs.terms import (
    AMOUNTS,
    MOST,
    AmountOutOfRange,
    CurrencyNotUsed,
    HourlyWhenAlwaysOn,
    NoSuchRunningMode,
    PriceEndsBeforeItStarts,
    PriceNotWholeHours,
    PriceReadInFuture,
    PriceTerms,
    as_recorded,
    check,
    check_period,
    instant,
)
from forge.accounts.models import Organization
from forge.api.errors import Conflict, Refused
from forge.db.integrity import refusing
from workspaces.bundles import BUNDLES

__all__ = [
    "AMOUNTS",
    "MOST",
    "AmountOutOfRange",
    "CurrencyNotUsed",
    "HourlyWhenAlwaysOn",
    "NoSuchRunningMode",
    "PriceConfirmedEarlier",
    "PriceEndsBeforeItStarts",
    "PriceEndsInPast",
    "PriceNotWholeHours",
    "PriceReadInFuture",
    "PriceTerms",
    "PricesOverlap",
    "ReasonRequired",
    "close_price",
    "confirm_price",
    "set_price",
]


class PriceEndsInPast(Refused):
    code = "price_ends_in_past"
    title = "Hours that are past keep their price"


class ReasonRequired(Refused):
    code = "reason_required"
    title = "A price that begins in the past changes what is booked"
    suggested_action = "Say why, or let the price begin with the next hour."


class PriceConfirmedEarlier(Refused):
    code = "price_confirmed_earlier"
    title = "The price has been read later than that already"


class PricesOverlap(Conflict):
    code = "prices_overlap"
    title = "There is a price for this in the same time already"
    suggested_action = "Close that price first; set this one from the hour at which it ends."


def set_price(
    *,
    actor: Actor,
    organization: Organization | None,
    terms: PriceTerms,
    now: datetime,
    reason: str = "",
    after: uuid.UUID | None = None,
) -> Price:
    """A price of the organization, or for all (None); `included_storage_gb` None = what the bundle comes with.

    Without a `storage_gb_month_amount` that of the price before it holds on; where there is none it is not known.

    One that begins before `now` needs a reason: prices of the same that began in the past make room for it (those to
    come do not), and what is booked since is re-rated by an operation. `after` names the price that this one follows:
    it ends here. Raises MayNotSetPrices, ReasonRequired, PricesOverlap, PriceEndsInPast, and what costs.terms.check
    raises.
    """
    organization_id = organization.id if organization is not None else None
    permissions.require_price(actor, organization_id)
    check(terms, organization=organization, now=now)
    is_past = terms.valid_from < now
    if is_past and not reason.strip():
        raise ReasonRequired(f"It would begin at {instant(terms.valid_from)}.")
    values = asdict(terms)
    if terms.included_storage_gb is None:
        size = BUNDLES[terms.bundle_type]
        values["included_storage_gb"] = size.root_volume_gb + size.user_volume_gb
    if terms.storage_gb_month_amount is None:
        values["storage_gb_month_amount"] = _storage_before(organization_id, terms)
    price = Price(organization=organization, **values)
    with refusing({"costs_price_no_two_at_once": PricesOverlap()}):
        entries = []
        if after is not None:
            entries.append(_end(actor=actor, price_id=after, ends_at=terms.valid_from, now=now)[1])
        if is_past:
            entries += make_room(actor=actor, price=price, now=now)
        price.save(force_insert=True)
        if is_past:
            rerating.ask(actor=actor, price=price, reason=reason, now=now)
        made = Entry(
            actor=actor,
            action=actions.PRICE_CREATE,
            resource_type="Price",
            resource_id=str(price.pk),
            description=f"Set price {price.pk}",
            organization_id=organization_id,
            changes={"before": None, "after": as_recorded(values)},
            context={"reason": reason} if is_past else None,
            occurred_at=now,
        )
        for entry in (*entries, made):
            append(entry)
    return price


def _storage_before(organization_id: uuid.UUID | None, terms: PriceTerms) -> Decimal | None:
    """What storage costs by the last price of the same that says so, the organization's own before that for all."""
    kind = ("service_type", "region", "bundle_type", "operating_system", "running_mode", "currency")
    before = Price.objects.filter(
        Q(organization_id=organization_id) | Q(organization__isnull=True),
        Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
        **{name: getattr(terms, name) for name in kind},
        storage_gb_month_amount__isnull=False,
        valid_from__lte=terms.valid_from,
    ).order_by(F("organization_id").asc(nulls_last=True), "-valid_from")
    return before.values_list("storage_gb_month_amount", flat=True).first()


def close_price(*, actor: Actor, price_id: uuid.UUID, now: datetime, valid_to: datetime | None = None) -> Price:
    """Let a price end at `valid_to`, else with the running hour; an end that lies ahead may be moved.

    Raises MayNotSetPrices, PriceNotWholeHours, PriceEndsInPast, PriceEndsBeforeItStarts, PricesOverlap.
    """
    with refusing({"costs_price_no_two_at_once": PricesOverlap()}):
        price, entry = _end(actor=actor, price_id=price_id, ends_at=valid_to or hour_of(now) + HOUR, now=now)
        append(entry)
    return price


def confirm_price(*, actor: Actor, price_id: uuid.UUID, as_of: date, now: datetime, source: str | None = None) -> Price:
    """Note that the price was read again, and stood: on `as_of`, in `source` if that is another one than before.

    Hours that were booked as ESTIMATED because the price was stale are re-rated. Raises MayNotSetPrices,
    PriceReadInFuture, PriceConfirmedEarlier, PriceEndsInPast.
    """
    if as_of > now.date():
        raise PriceReadInFuture(f"as_of is {as_of}; today is {now:%Y-%m-%d}.")
    with refusing({}):
        price = _locked(actor, price_id)
        if price.valid_to is not None and price.valid_to <= now:
            raise PriceEndsInPast(f"The price has ended at {instant(price.valid_to)}.")
        if as_of < price.as_of:
            raise PriceConfirmedEarlier(f"It was last read on {price.as_of}.")
        before = {"as_of": str(price.as_of), "source": price.source}
        was_stale_at = price.stale_at
        price.as_of, price.source = as_of, source or price.source
        price.save(update_fields=["as_of", "source", "updated_at"])
        if was_stale_at <= now:
            rerating.ask(actor=actor, price=price, reason=f"read again on {as_of}", now=now)
        record(
            actor=actor,
            action=actions.PRICE_CONFIRM,
            resource_type="Price",
            resource_id=str(price.pk),
            description=f"Confirmed price {price.pk}",
            organization_id=price.organization_id,
            changes={"before": before, "after": {"as_of": str(as_of), "source": price.source}},
            occurred_at=now,
        )
    return price


def _locked(actor: Actor, price_id: uuid.UUID) -> Price:
    """The price, locked; raises MayNotSetPrices before, because a price of all can be locked by nobody of one only."""
    permissions.require_price(actor, Price.objects.values_list("organization_id", flat=True).get(pk=price_id))
    return Price.objects.select_for_update(no_key=True).get(pk=price_id)


def _end(*, actor: Actor, price_id: uuid.UUID, ends_at: datetime, now: datetime) -> tuple[Price, Entry]:
    price = _locked(actor, price_id)
    if price.valid_to is not None and price.valid_to <= now:
        raise PriceEndsInPast(f"The price has ended at {instant(price.valid_to)}.")
    if ends_at <= hour_of(now):
        raise PriceEndsInPast(f"The earliest end is {instant(hour_of(now) + HOUR)}.")
    check_period(price.valid_from, ends_at)
    before = price.valid_to
    price.valid_to = ends_at
    price.save(update_fields=["valid_to", "updated_at"])
    changes: dict[str, Any] = {
        "before": {"valid_to": instant(before) if before else None},
        "after": {"valid_to": instant(ends_at)},
    }
    entry = Entry(
        actor=actor,
        action=actions.PRICE_CLOSE,
        resource_type="Price",
        resource_id=str(price.pk),
        description=f"Gave price {price.pk} an end",
        organization_id=price.organization_id,
        changes=changes,
        occurred_at=now,
    )
    return price, entry
