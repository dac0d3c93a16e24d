"""The bundle types as one person sees them: size, price in the own currency, and whether they may be launched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, Q

from blueprints.models import BundleType
from costs.models import Price
from forge.accounts.models import Organization
from workspaces.bundles import BUNDLES
from workspaces.guards import bundles_for_role
from workspaces.models import WorkSpace


def bundles(
    *, organization: Organization, region: str | None, roles: Iterable[str | None], now: datetime
) -> list[dict[str, Any]]:
    """Every bundle type, smallest first; launchable when one of `roles` may and there is a price in `region`."""
    held = sorted({role for role in roles if role})
    prices = _prices(organization, region, now)
    rows = []
    for bundle_type in BundleType.values:
        size = BUNDLES[bundle_type]
        reason = _why_not_by_role(bundle_type, held)
        if reason is None and not prices.get(bundle_type):
            reason = _why_no_price(organization, region)
        rows.append(
            {
                "bundle_type": bundle_type,
                "vcpus": size.vcpus,
                "memory_gib": size.memory_gib,
                "gpu": size.gpu,
                "root_volume_gb": size.root_volume_gb,
                "user_volume_gb": size.user_volume_gb,
                "region": region,
                "currency": organization.currency,
                "prices": prices.get(bundle_type, []),
                "may_launch": reason is None,
                "why_not": reason,
            }
        )
    return rows


def _why_not_by_role(bundle_type: str, roles: list[str]) -> str | None:
    if any(bundle_type in bundles_for_role(role) for role in roles):
        return None
    return f"As {' and '.join(roles) or 'somebody without a role there'} you may not launch {bundle_type}."


def _why_no_price(organization: Organization, region: str | None) -> str:
    if region is None:
        return "Your organization has no provider account; an admin can add one."
    return f"The price book has no price in {organization.currency} for it in {region}; finance can add one."


def _prices(organization: Organization, region: str | None, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """Bundle type → its prices in force, by operating system and running mode, the organization's own before others."""
    found = (
        Price.objects.in_force(now)
        .filter(Q(organization=organization) | Q(organization=None), region=region, currency=organization.currency)
        .filter(service_type=WorkSpace.ServiceType.PERSONAL)
        .order_by("operating_system", "running_mode", F("organization").asc(nulls_last=True))
    )
    by_kind: dict[tuple[str, str, str], Price] = {}
    for price in found:
        by_kind.setdefault((price.bundle_type, price.operating_system, price.running_mode), price)
    prices: dict[str, list[dict[str, Any]]] = {}
    for (bundle_type, operating_system, running_mode), price in by_kind.items():
        prices.setdefault(bundle_type, []).append(
            {
                "operating_system": operating_system,
                "running_mode": running_mode,
                "monthly": price.monthly_amount,
                "hourly": price.hourly_amount,
                "source": price.source,
                "as_of": price.as_of,
            }
        )
    return prices
