"""Where a refresh of the price book reads from: a file of one of AWS's lists, or AWS itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from audit.actors import Actor
from costs import aws
from costs.pricelist import ApplicationOffers, Offers, PersonalOffers, Report, refresh
from costs.pricelist.files import opened
from costs.pricelist.refreshing import published
from workspaces.models import ProviderAccount

LISTS: tuple[type[Offers], ...] = (PersonalOffers, ApplicationOffers)


def regions_in_use() -> set[str]:
    """The regions of the provider accounts that are switched on, but for simulated ones."""
    there = ProviderAccount.objects.filter(enabled=True).exclude(kind=ProviderAccount.Kind.SIMULATOR)
    return set(there.values_list("region", flat=True))


def refresh_from_file(path: Path, *, regions: set[str], actor: Actor, now: datetime, dry_run: bool = False) -> Report:
    """Raises PriceListBroken, or OSError when the file cannot be read."""
    with opened(path) as price_list:
        offers = next(one for one in LISTS if one.name == price_list.offer)
        return refresh(
            offers=offers(regions),
            rows=price_list.rows,
            source=f"AWS price list {price_list.offer}, version {price_list.version[:40]}, file",
            as_of=published(price_list.published_at, now),
            actor=actor,
            now=now,
            dry_run=dry_run,
        )


def refresh_from_aws(*, regions: set[str], actor: Actor, now: datetime, dry_run: bool = False) -> Report:
    """One list after the other; raises PriceListBroken, or the family of workspaces.aws.AwsError without an answer."""
    report = Report()
    for offers in LISTS:
        name = offers.name
        report.add(
            refresh(
                offers=offers(regions),
                rows=(row for region in sorted(regions) for row in aws.price_rows(name, region)),
                source=f"AWS price list {name}, GetProducts",
                as_of=now.astimezone(UTC).date(),
                actor=actor,
                now=now,
                dry_run=dry_run,
            )
        )
    return report
