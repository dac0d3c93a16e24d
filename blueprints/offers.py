"""What machines may become by the blueprint that they stand on."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection

from blueprints.models import Blueprint, BlueprintBundle

Offers = set[tuple[str, str]]
"""(region, bundle type) of each bundle on offer."""


def offers_to_machines(blueprint_ids: Collection[uuid.UUID | None]) -> dict[uuid.UUID | None, Offers]:
    """What the machines that stand on these versions may be changed to; a version without an offer is not in it.

    That is what the version itself offers, retired or not. One that an adoption made (AUTO) says what its machines are,
    which nobody chose: to their machines the published versions of its family offer too, for the same operating system.
    """
    offers: dict[uuid.UUID | None, Offers] = defaultdict(set)
    adopted: dict[tuple[uuid.UUID, uuid.UUID | None, str, str], set[uuid.UUID]] = defaultdict(set)
    for row in BlueprintBundle.objects.filter(blueprint__in=blueprint_ids).select_related("blueprint"):
        offers[row.blueprint_id].add((row.region, row.bundle_type))
        if row.blueprint.origin == Blueprint.Origin.AUTO:
            adopted[_family(row.blueprint)].add(row.blueprint_id)
    if adopted:
        for row in _published(adopted.keys()):
            for blueprint_id in adopted[_family(row.blueprint)]:
                offers[blueprint_id].add((row.region, row.bundle_type))
    return dict(offers)


def _family(blueprint: Blueprint) -> tuple[uuid.UUID, uuid.UUID | None, str, str]:
    return blueprint.organization_id, blueprint.team_id, blueprint.name, blueprint.operating_system


def _published(families: Collection[tuple[uuid.UUID, uuid.UUID | None, str, str]]) -> list[BlueprintBundle]:
    """The offers of the published versions of these families."""
    found = BlueprintBundle.objects.filter(
        blueprint__status=Blueprint.Status.PUBLISHED,
        blueprint__organization__in={organization for organization, *_ in families},
        blueprint__name__in={name for _, _, name, _ in families},
    ).select_related("blueprint")
    return [row for row in found if _family(row.blueprint) in families]
