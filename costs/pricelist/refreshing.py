"""The price book after AWS's list: what is new or has changed begins, what stood is confirmed, the rest is told.

Prices of organizations are never touched; the list is AWS's public one and holds for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, Q

from audit.actors import Actor
from costs import services
from costs.models import Price
from costs.pricelist.collecting import Kind, Offer, Offers
from costs.pricelist.rows import PriceRow
from costs.pricing import HOUR, hour_of, hour_up
from costs.terms import PriceTerms, instant

NO_PRICE_YET = "no price of this kind stood here"


@dataclass
class Report:
    """What a list came to: prices that began, changed and stood (`confirmed` of them newly), and what was left out."""

    rows: int = 0
    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    unchanged: int = 0
    confirmed: int = 0
    left_out: list[dict[str, object]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in what another list came to."""
        self.rows += other.rows
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.confirmed += other.confirmed
        self.left_out += other.left_out

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Figures:
    """What a price asks for; two of the same figures are the same price."""

    monthly: Decimal
    hourly: Decimal
    storage_gb_month: Decimal | None
    included_storage_gb: int

    @classmethod
    def of(cls, price: Price) -> _Figures:
        return cls(price.monthly_amount, price.hourly_amount, price.storage_gb_month_amount, price.included_storage_gb)


def refresh(
    *,
    offers: Offers,
    rows: Iterable[PriceRow],
    source: str,
    as_of: date,
    actor: Actor,
    now: datetime,
    dry_run: bool = False,
) -> Report:
    """Put a list into the book, as `offers` understands its rows, each price in a transaction of its own.

    A dry run only tells.

    The whole list is read before anything is written, so one that is damaged changes nothing: PriceListBroken. Doing it
    twice changes nothing the second time. `as_of` is when the list was read, or published if it comes from a file.
    """
    for row in rows:
        offers.add(row)
    report = Report()
    for offer in list(offers):
        _Book(offer, source, as_of, actor, now, dry_run, offers, report).write()
    report.rows, report.left_out = offers.rows, offers.left_out
    return report


@dataclass(frozen=True)
class _Book:
    """One offer against the prices of its kind that stand."""

    offer: Offer
    source: str
    as_of: date
    actor: Actor
    now: datetime
    dry_run: bool
    offers: Offers
    report: Report

    def write(self) -> None:
        """Begin, change or confirm the price, or note why not."""
        standing = list(_prices(self.offer.kind).filter(Q(valid_to__isnull=True) | Q(valid_to__gt=self.now)))
        to_come = [price for price in standing if price.valid_from > self.now]
        current = next((price for price in standing if price.valid_from <= self.now), None)
        wanted = self._figures(to_come[0] if to_come else current)
        if to_come:
            if len(to_come) > 1 or _Figures.of(to_come[0]) != wanted:
                self._leave(f"another price begins at {instant(to_come[0].valid_from)}")
            else:
                self.report.unchanged += 1
        elif current is None:
            self._begin(wanted)
        elif current.as_of > self.as_of:
            self._leave(f"the book was read later, on {current.as_of}")
        elif _Figures.of(current) == wanted and current.valid_to is None:
            self._confirm(current)
        else:
            self._change(current, wanted)

    def _figures(self, price: Price | None) -> _Figures:
        """What the list asks for; what it does not say about storage stays as it is, known or not."""
        storage = self.offer.storage_gb_month
        if storage is None and price is not None:
            storage = price.storage_gb_month_amount
        return _Figures(self.offer.monthly, self.offer.hourly, storage, self.offer.included_storage_gb)

    def _begin(self, wanted: _Figures) -> None:
        """A price where none is in force: since AWS's own date, or since the last one ended."""
        last = _prices(self.offer.kind).exclude(valid_to=F("valid_from")).order_by("-valid_to").first()
        since = hour_of(self.offer.effective_at)
        if last is not None and last.valid_to is not None:
            since = max(since, last.valid_to)
            wanted = self._figures(last)
        self.report.new.append(self._told(None, wanted, since))
        if not self.dry_run:
            reason = f"{NO_PRICE_YET}; {self.source}" if since < self.now else ""
            services.set_price(
                actor=self.actor, organization=None, terms=self._terms(wanted, since, last), now=self.now, reason=reason
            )

    def _change(self, current: Price, wanted: _Figures) -> None:
        """Other figures: from AWS's own date if that lies ahead, else from the next hour."""
        since = max(hour_of(self.now) + HOUR, hour_up(self.offer.effective_at))
        if current.valid_to is not None and _Figures.of(current) == wanted:
            since = max(since, current.valid_to)
        self.report.changed.append(self._told(current, wanted, since))
        if not self.dry_run:
            services.set_price(
                actor=self.actor,
                organization=None,
                terms=self._terms(wanted, since, current),
                now=self.now,
                after=current.pk,
            )

    def _confirm(self, current: Price) -> None:
        self.report.unchanged += 1
        if current.as_of >= self.as_of:
            return
        self.report.confirmed += 1
        if not self.dry_run:
            services.confirm_price(
                actor=self.actor, price_id=current.pk, as_of=self.as_of, source=self.source, now=self.now
            )

    def _terms(self, wanted: _Figures, since: datetime, before: Price | None) -> PriceTerms:
        kind = self.offer.kind
        return PriceTerms(
            service_type=kind.service_type,
            region=kind.region,
            bundle_type=kind.bundle_type,
            operating_system=kind.operating_system,
            running_mode=kind.running_mode,
            monthly_amount=wanted.monthly,
            hourly_amount=wanted.hourly,
            storage_gb_month_amount=wanted.storage_gb_month,
            included_storage_gb=wanted.included_storage_gb,
            transfer_gb_amount=before.transfer_gb_amount if before else Decimal(0),
            currency=kind.currency,
            source=self.source,
            as_of=self.as_of,
            valid_from=since,
        )

    def _told(self, current: Price | None, wanted: _Figures, since: datetime) -> dict[str, Any]:
        return {
            **self.offer.kind._asdict(),
            "from": None if current is None else _shown(_Figures.of(current)),
            "to": _shown(wanted),
            "valid_from": instant(since),
        }

    def _leave(self, reason: str) -> None:
        self.offers.leave(reason, " ".join(self.offer.kind))


def _prices(kind: Kind) -> Any:
    """The prices for all of that kind, whenever they hold, in the order of time."""
    return Price.objects.filter(organization=None, **kind._asdict()).order_by("valid_from")


def _shown(figures: _Figures) -> dict[str, Any]:
    shown = asdict(figures)
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in shown.items()}


def published(at: datetime, now: datetime) -> date:
    """The day of publication as a price's `as_of`; a clock that is behind AWS's does not refuse today's list."""
    return min(at.astimezone(UTC).date(), now.astimezone(UTC).date())
