"""Setting measured latencies and the regions that a team may use; for admins of the organization."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import Membership, Organization, Team, User
from forge.api.errors import Conflict, Denied, Refused
from forge.db.integrity import refusing
from workspaces import actions
from workspaces.models import ProviderAccount, RegionLatency, RegionPolicy
from workspaces.regions.latency import CITIES
from workspaces.regions.models import MOST_MILLISECONDS
from workspaces.regions.places import words

MOST_REGIONS = 50
_SEPARATORS = re.compile(r"[\s,]+")


class MayNotSetRegions(Denied):
    code = "may_not_set_regions"
    title = "Only admins of the organization set latencies and the regions of a team"


class UnknownRegion(Refused):
    code = "unknown_region"
    title = "There is no such region"
    suggested_action = "Send the code of an AWS region, such as eu-central-1."


class LatencyRefused(Refused):
    code = "latency_refused"
    title = "This is no latency"


class LatencyExists(Conflict):
    code = "region_latency_exists"
    title = "There is a latency of this place and region already"
    suggested_action = "Change the one named in `latency`."
    advice = "Change the one that is there."


class RegionPolicyExists(Conflict):
    code = "region_policy_exists"
    title = "The team has a region policy already"
    suggested_action = "Change the one named in `policy`."
    advice = "Change the one that is there."


class NotTheTeam(Refused):
    code = "unknown_team"
    title = "There is no such team"


def may_set(user: object, organization_id: Any) -> bool:
    """True for admins of the organization."""
    return isinstance(user, User) and user.organization_id == organization_id and user.has_role(Membership.Role.ADMIN)


def split(text: str) -> list[str]:
    """Region codes from one line, between commas or spaces."""
    return [word for word in _SEPARATORS.split(text) if word]


def create_latency(
    *,
    actor: Actor,
    organization: Organization,
    place: str,
    region: str,
    milliseconds: int | None,
    source: str,
    now: datetime,
) -> RegionLatency:
    """Write down a measured round trip between a place and a region.

    Raises MayNotSetRegions, UnknownRegion, LatencyRefused and LatencyExists.
    """
    _require(actor, organization.id)
    compared = words(place)
    _check_regions(organization.id, [region])
    _check_figure(milliseconds, source)
    if not compared or len(compared) > 64:
        raise LatencyRefused("`place` is 1 to 64 characters, as in people's `location`.")
    held = RegionLatency.objects.filter(organization=organization, place=compared, region=region)
    held_id = held.values_list("id", flat=True).first()
    exists = LatencyExists(
        f"There is one of {compared} to {region}.", extra={"latency": str(held_id)} if held_id else {}
    )
    with refusing({"workspaces_regionlatency_one_per_place_and_region": exists}):
        made = RegionLatency.objects.create(
            organization=organization,
            place=compared,
            region=region,
            milliseconds=milliseconds,
            source=source,
            created_at=now,
        )
        _record(actor, actions.REGION_LATENCY_CREATE, made, "Set", None, now)
    return made


def change_latency(
    *, actor: Actor, latency_id: uuid.UUID, milliseconds: int | None, source: str, now: datetime
) -> RegionLatency:
    """Change a latency; `milliseconds` None = as estimated again. Raises MayNotSetRegions and LatencyRefused."""
    with transaction.atomic():
        latency = RegionLatency.objects.select_for_update(no_key=True).get(pk=latency_id)
        _require(actor, latency.organization_id)
        _check_figure(milliseconds, source)
        before = _facts(latency)
        latency.milliseconds, latency.source = milliseconds, source
        if _facts(latency) == before:
            return latency
        latency.save(update_fields=["milliseconds", "source", "updated_at"])
        _record(actor, actions.REGION_LATENCY_UPDATE, latency, "Changed", before, now)
    return latency


def create_region_policy(
    *, actor: Actor, organization: Organization, team: Team, regions: Sequence[str], now: datetime
) -> RegionPolicy:
    """Say in which regions a team may launch; none = all. Machines that stand elsewhere stay.

    Raises MayNotSetRegions, NotTheTeam, UnknownRegion and RegionPolicyExists.
    """
    _require(actor, organization.id)
    if team.organization_id != organization.id:
        raise NotTheTeam("The team is not one of the organization's.")
    _check_regions(organization.id, regions)
    held = RegionPolicy.objects.filter(organization=organization, team=team).values_list("id", flat=True).first()
    exists = RegionPolicyExists(f"Team {team.slug} has a region policy.", extra={"policy": str(held)} if held else {})
    with refusing({"workspaces_regionpolicy_one_per_team": exists}):
        made = RegionPolicy.objects.create(
            organization=organization, team=team, regions=sorted(set(regions)), created_at=now
        )
        _record(actor, actions.REGION_POLICY_CREATE, made, "Set", None, now)
    return made


def change_region_policy(*, actor: Actor, policy_id: uuid.UUID, regions: Sequence[str], now: datetime) -> RegionPolicy:
    """Change in which regions a team may launch; none = all. Raises MayNotSetRegions and UnknownRegion."""
    with transaction.atomic():
        policy = RegionPolicy.objects.select_for_update(no_key=True).get(pk=policy_id)
        _require(actor, policy.organization_id)
        _check_regions(policy.organization_id, regions)
        before = _facts(policy)
        policy.regions = sorted(set(regions))
        if _facts(policy) == before:
            return policy
        policy.save(update_fields=["regions", "updated_at"])
        _record(actor, actions.REGION_POLICY_UPDATE, policy, "Changed", before, now)
    return policy


def _require(actor: Actor, organization_id: Any) -> None:
    if actor.kind != "COMMAND" and not may_set(actor.user, organization_id):
        raise MayNotSetRegions("This needs the role: admin.")


def _check_regions(organization_id: Any, regions: Sequence[str]) -> None:
    """What we have no city of is taken when the organization has an account there: AWS opens regions faster than we."""
    if len(regions) > MOST_REGIONS:
        raise UnknownRegion(f"{len(regions)} regions; at most {MOST_REGIONS} are possible.")
    strange = sorted(set(regions) - set(CITIES))
    if strange:
        accounts = ProviderAccount.objects.filter(organization_id=organization_id, region__in=strange)
        strange = sorted(set(strange) - set(accounts.values_list("region", flat=True)))
    if strange:
        raise UnknownRegion(f"{strange[0][:32]!r} is no region of AWS that is known here.", extra={"unknown": strange})


def _check_figure(milliseconds: int | None, source: str) -> None:
    if milliseconds is not None and not 1 <= milliseconds <= MOST_MILLISECONDS:
        raise LatencyRefused(f"`milliseconds` is 1 to {MOST_MILLISECONDS}, or null for the estimate.")
    if not source.strip() or len(source) > 200:
        raise LatencyRefused("`source` says in 1 to 200 characters who or what measured it.")


def _record(
    actor: Actor,
    action: str,
    row: RegionLatency | RegionPolicy,
    verb: str,
    before: dict[str, Any] | None,
    now: datetime,
) -> None:
    record(
        actor=actor.in_organization(row.organization_id),
        action=action,
        resource_type=type(row).__name__,
        resource_id=str(row.id),
        description=f"{verb} {row._meta.verbose_name} {row.id}",
        changes={"before": before, "after": _facts(row)},
        occurred_at=now,
    )


def _facts(row: RegionLatency | RegionPolicy) -> dict[str, Any]:
    if isinstance(row, RegionPolicy):
        return {"team_id": str(row.team_id), "regions": row.regions}
    return {"place": row.place, "region": row.region, "milliseconds": row.milliseconds, "source": row.source}
