"""Whether the rules are paused: by the switch of their job, for everybody or for one organization.

It is asked wherever a rule is about to do something, in the transaction that does it, so a pause holds from the moment
it is set. One for everybody holds for every organization.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from forge.db.models import JobSwitch
from workspaces.models import WorkSpace

JOB = "enforce_lifecycle"


@dataclass(frozen=True)
class Pause:
    """Who paused the rules (`installation` or `organization`), since when, and the reason that was given."""

    by: str
    since: datetime
    reason: str

    def __str__(self) -> str:
        whose = "for the whole installation by its operators" if self.by == "installation" else "for this organization"
        because = f" ({self.reason})" if self.reason else ""
        return f"The rules are paused {whose} since {self.since:%Y-%m-%d %H:%M} UTC{because}"


def pause_of(organization_id: uuid.UUID | None) -> Pause | None:
    """The pause that holds for an organization (None = the one for everybody), or None; that for everybody first."""
    switches = JobSwitch.objects.filter(job=JOB, is_paused=True)
    holding = switches.filter(Q(organization_id=None) | Q(organization_id=organization_id))
    switch = min(holding, key=lambda one: one.organization_id is not None, default=None)
    if switch is None:
        return None
    by = "installation" if switch.organization_id is None else "organization"
    return Pause(by, switch.updated_at, switch.reason)


def unpaused(machines: QuerySet[WorkSpace]) -> QuerySet[WorkSpace]:
    """Those of `machines` for whose organization nobody has paused the rules."""
    paused = JobSwitch.objects.filter(job=JOB, is_paused=True).values_list("organization_id", flat=True)
    by_organization = list(paused)
    if None in by_organization:
        return machines.none()
    organizations = [one for one in by_organization if one is not None]
    return machines.exclude(organization_id__in=organizations) if organizations else machines
