"""Making room in the past of the price book: what a price corrects ends where the correction begins.

A price that the correction covers from its first hour on is withdrawn: its period becomes empty (valid_to =
valid_from), so it is in force at no time, and what it asked for still stands for whoever reads an old record. What it
was to hold for beyond the correction goes on as a price of its own with the same figures.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import F, Q

from audit.actors import Actor
from audit.services import Entry
from costs import actions
from costs.models import Price
from costs.terms import as_recorded, instant
from forge.db.ids import uuid7

TERMS = (
    "service_type", "region", "bundle_type", "operating_system", "running_mode", "monthly_amount", "hourly_amount",
    "storage_gb_month_amount", "included_storage_gb", "transfer_gb_amount", "currency", "source", "as_of",
    "valid_from", "valid_to",
)  # fmt: skip


def make_room(*, actor: Actor, price: Price, now: datetime) -> list[Entry]:
    """Cut the prices of the same that began in the past where `price` is to hold; returns the audit entries.

    In the caller's transaction, before `price` is saved. Prices that begin after `now` stay, and refuse the correction.
    """
    entries: list[Entry] = []
    rests: list[Price] = []
    for old in _in_the_way(price, now):
        before = {"valid_to": instant(old.valid_to) if old.valid_to else None}
        if price.valid_to is not None and (old.valid_to is None or old.valid_to > price.valid_to):
            rests.append(_rest_of(old, price.valid_to))
        old.valid_to = max(old.valid_from, price.valid_from)
        old.save(update_fields=["valid_to", "updated_at"])
        changes = {"before": before, "after": {"valid_to": instant(old.valid_to)}}
        entries.append(
            _entry(actor, old, actions.PRICE_CLOSE, changes, {"corrected_by": str(price.pk)}, now),
        )
    for rest in rests:
        rest.save(force_insert=True)
        values = as_recorded({name: getattr(rest, name) for name in TERMS})
        context = {"rest_beside": str(price.pk)}
        entries.append(_entry(actor, rest, actions.PRICE_CREATE, {"before": None, "after": values}, context, now))
    return entries


def _in_the_way(price: Price, now: datetime) -> list[Price]:
    kind = {
        name: getattr(price, name)
        for name in (
            "organization", "service_type", "region", "bundle_type", "operating_system", "running_mode", "currency",
        )
    }  # fmt: skip
    there = Price.objects.filter(**kind, valid_from__lt=now).filter(
        Q(valid_to__isnull=True) | Q(valid_to__gt=price.valid_from) & Q(valid_to__gt=F("valid_from"))
    )
    if price.valid_to is not None:
        there = there.filter(valid_from__lt=price.valid_to)
    return list(there.order_by("id").select_for_update(no_key=True))


def _rest_of(old: Price, since: datetime) -> Price:
    values = {name: getattr(old, name) for name in TERMS}
    return Price(pk=uuid7(), organization_id=old.organization_id, **(values | {"valid_from": since}))


def _entry(actor: Actor, price: Price, action: str, changes: dict, context: dict, now: datetime) -> Entry:
    said = "Corrected" if action == actions.PRICE_CLOSE else "Carried on"
    return Entry(
        actor=actor,
        action=action,
        resource_type="Price",
        resource_id=str(price.pk),
        description=f"{said} price {price.pk}",
        organization_id=price.organization_id,
        changes=changes,
        context=context,
        occurred_at=now,
    )
