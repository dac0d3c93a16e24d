"""The region of a launch: the one asked for, or the nearest to the machine's owner among those allowed."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from forge.accounts.models import Organization, Team
from forge.api.errors import BadRequest, Refused
from workspaces.models import RegionLatency, RegionPolicy
from workspaces.regions.latency import estimated
from workspaces.regions.places import find, words


class RegionRequired(BadRequest):
    code = "region_required"
    title = "Say in which region"
    suggested_action = "Send `region` with one of those named."
    advice = "Name a region."


class RegionNotAllowed(Refused):
    code = "region_not_allowed"
    title = "The team's policy does not allow a machine there"
    suggested_action = "Choose a region of `allowed`, or ask an admin to change the team's region policy."
    advice = "Choose another region, or ask an admin to change the team's region policy."


@dataclass(frozen=True)
class Reach:
    """A region and its round trip from the owner's place; `basis` is MEASURED or ESTIMATED, null with the figure."""

    region: str
    milliseconds: int | None
    basis: str | None

    @property
    def rank(self) -> tuple[bool, int, str]:
        """What is known comes before what is not, the nearer first; equals by name."""
        return self.milliseconds is None, self.milliseconds or 0, self.region

    @property
    def answer(self) -> dict[str, Any]:
        return {"region": self.region, "latency_ms": self.milliseconds, "basis": self.basis}


@dataclass(frozen=True)
class RegionChoice:
    """The region taken, why, and the others that were possible, nearest first."""

    taken: Reach
    why: str
    alternatives: tuple[Reach, ...] = ()

    @property
    def region(self) -> str:
        return self.taken.region

    @property
    def answer(self) -> dict[str, Any]:
        """What the answers to a launch, a dry run and a quote say."""
        return {**self.taken.answer, "why": self.why, "alternatives": [other.answer for other in self.alternatives]}


def choose(
    *, organization: Organization, team: Team, location: str, possible: Collection[str], asked: str | None
) -> RegionChoice:
    """Take one of the regions `possible`, of which there is at least one; reads, locks nothing.

    Raises RegionNotAllowed where the team's policy leaves none, and RegionRequired where several are left and the
    place of the owner says nothing of them.
    """
    allowed = allowed_regions(organization.id, team.id)
    regions = sorted(region for region in possible if allowed is None or region in allowed)
    if asked is not None and asked not in regions:
        raise RegionNotAllowed(
            f"Team {team.slug} may not launch in {asked}.", extra={"region": asked, "allowed": sorted(allowed or ())}
        )
    if not regions:
        raise RegionNotAllowed(
            f"Team {team.slug} may launch in none of {', '.join(sorted(possible))}.",
            extra={"allowed": sorted(allowed or ()), "offered": sorted(possible)},
        )
    reaches = sorted(_reaches(organization, location, regions), key=lambda reach: reach.rank)
    if asked is not None:
        taken = next(reach for reach in reaches if reach.region == asked)
        why = "It was asked for."
    elif len(reaches) == 1:
        taken, why = reaches[0], "It is the only one possible."
    elif reaches[0].milliseconds is None:
        raise RegionRequired(
            f"Nothing is known of how far {'the owner is' if not location else 'the place of the owner is'} from any. "
            f"Give `region` as one of: {', '.join(regions)}.",
            extra={"regions": regions},
        )
    else:
        taken, why = reaches[0], _why_nearest(reaches)
    return RegionChoice(taken, why, tuple(reach for reach in reaches if reach is not taken))


def _why_nearest(reaches: list[Reach]) -> str:
    nearest = reaches[0]
    word = "measured" if nearest.basis == "MEASURED" else "estimated from the distance"
    why = f"It is the nearest to the owner's place: a round trip of {nearest.milliseconds} ms, {word}."
    equal = [reach.region for reach in reaches[1:] if reach.milliseconds == nearest.milliseconds]
    return f"{why} As near, and later by name: {', '.join(equal)}." if equal else why


def allowed_regions(organization_id: uuid.UUID, team_id: uuid.UUID) -> set[str] | None:
    """The regions that the team's policy names; None = every one."""
    policies = RegionPolicy.objects.filter(organization_id=organization_id, team_id=team_id)
    named = policies.values_list("regions", flat=True).first()
    return set(named) if named else None


def _reaches(organization: Organization, location: str, regions: list[str]) -> list[Reach]:
    place = words(location)
    if not place:
        return [Reach(region, None, None) for region in regions]
    told = RegionLatency.objects.filter(organization=organization, place=place, region__in=regions)
    measured = dict(told.exclude(milliseconds=None).values_list("region", "milliseconds"))
    point = find(location)
    return [_reach(region, measured.get(region), estimated(point, region) if point else None) for region in regions]


def _reach(region: str, measured: int | None, guess: int | None) -> Reach:
    if measured is not None:
        return Reach(region, measured, "MEASURED")
    return Reach(region, guess, "ESTIMATED" if guess is not None else None)
