"""Whether the price book can be relied on for the machines that there are: what is missing in it, and what is stale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from costs.pricing import hour_of

_KINDS = """
    SELECT kind.service_type, kind.region, kind.bundle_type, kind.operating_system, kind.running_mode,
           coalesce(p.valid_from <= %(hour)s AND coalesce(p.valid_to > %(hour)s, true), false) AS is_in_force,
           %(now)s - min(p.as_of::timestamp AT TIME ZONE 'UTC') OVER () AS oldest,
           %(hour)s >= (p.as_of + %(stale_days)s)::timestamp AT TIME ZONE 'UTC' AS is_stale,
           p.storage_gb_month_amount IS NULL AND kind.storage_gb > p.included_storage_gb AS lacks_storage
      FROM (
          SELECT w.organization_id, o.currency, w.service_type, w.region, w.bundle_type, w.operating_system,
                 w.running_mode, max(w.root_volume_gb + w.user_volume_gb) AS storage_gb
            FROM workspaces_workspace w JOIN accounts_organization o ON o.id = w.organization_id
           WHERE w.state NOT IN ('TERMINATED', 'FAILED')
           GROUP BY 1, 2, 3, 4, 5, 6, 7
      ) kind
      LEFT JOIN LATERAL costs_price_at(
          kind.organization_id, kind.service_type, kind.region, kind.bundle_type, kind.operating_system,
          kind.running_mode, kind.currency, %(hour)s
      ) p ON true
"""

SHOWN = 3


@dataclass(frozen=True)
class Standing:
    """Kinds of live machines (once per organization) by what is wrong with their price now, and the oldest reading.

    Of those `without_storage` some have more storage than is included, and it is not known what that costs.
    """

    missing: tuple[str, ...]
    without_storage: tuple[str, ...]
    stale: tuple[str, ...]
    oldest: timedelta

    @property
    def problems(self) -> list[str]:
        """What is to be done, in words; empty when every price is in force and was read in time."""
        found = []
        if self.missing:
            kinds = _some(self.missing)
            found.append(f"{len(self.missing)} without a price, estimated by the last one: {kinds}; set prices")
        if self.without_storage:
            kinds = _some(self.without_storage)
            found.append(
                f"{len(self.without_storage)} without a price of storage, which is booked at 0: {kinds}; set prices"
            )
        if self.stale:
            days = settings.FORGE_PRICE_STALE_DAYS
            found.append(f"{len(self.stale)} priced by what was read over {days} days ago: {_some(self.stale)}")
        return found

    def __str__(self) -> str:
        return "; ".join(self.problems) or f"oldest price in use read {self.oldest.days} days ago"


def standing(now: datetime) -> Standing:
    """What the book says at `now` of every kind of machine that lives."""
    asked = {"hour": hour_of(now), "now": now, "stale_days": settings.FORGE_PRICE_STALE_DAYS}
    with connection.cursor() as cursor:
        cursor.execute(_KINDS, asked)
        rows = cursor.fetchall()
    missing, without_storage, stale = [], [], []
    for service, region, bundle, system, mode, is_in_force, _, is_stale, lacks_storage in rows:
        text = f"{service} {bundle} {system} {mode} in {region}"
        if not is_in_force:
            missing.append(text)
            continue
        if lacks_storage:
            without_storage.append(text)
        if is_stale:
            stale.append(text)
    oldest = next((row[6] for row in rows if row[6] is not None), timedelta(0))
    return Standing(
        missing=tuple(sorted(missing)),
        without_storage=tuple(sorted(without_storage)),
        stale=tuple(sorted(stale)),
        oldest=max(oldest, timedelta(0)),
    )


def _some(kinds: tuple[str, ...]) -> str:
    shown = sorted(set(kinds))
    more = len(shown) - SHOWN
    return ", ".join(shown[:SHOWN]) + (f" and {more} more" if more > 0 else "")
