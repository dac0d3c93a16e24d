"""Which ceilings bind a machine: those of its blueprint, its team, its organization and the installation."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from workspaces.rules.deadlines import Ceiling, Ceilings
from workspaces.rules.models import MOST_KEEP_ALIVE_DAYS, MOST_LIFETIME_DAYS, LifecyclePolicy

INSTALLATION = "installation"

_FIELDS = {
    "idle": ("idle_minutes", "minutes"),
    "session": ("session_hours", "hours"),
    "lease": ("lease_hours", "hours"),
    "keep_alive": ("keep_alive_days", "days"),
}
"""Ceiling → the field of a policy that holds it, and its unit; a lifetime's has a past too, see `_lifetimes`."""

Scope = tuple[uuid.UUID, uuid.UUID | None, str]


def ceilings_of(machines: Sequence[Any]) -> dict[uuid.UUID, Ceilings]:
    """The ceilings of machines by id, in one query; their blueprints are read already."""
    policies = _policies({machine.organization_id for machine in machines})
    return {machine.id: smallest(_binding(machine, policies)) for machine in machines}


def smallest(policies: Iterable[LifecyclePolicy]) -> Ceilings:
    """Of each kind the smallest ceiling; of equal ones the one of the narrowest scope, which stands first."""
    found: dict[str, Ceiling] = {}
    lifetimes: list[Ceiling] = []
    for policy in policies:
        lifetimes += _lifetimes(policy)
        for kind, (field, unit) in _FIELDS.items():
            most = getattr(policy, field)
            if most is not None:
                _lower(found, kind, Ceiling(timedelta(**{unit: most}), policy.source))
    for kind, ceiling in _of_the_installation().items():
        _lower(found, kind, ceiling)
    lifetimes.append(Ceiling(timedelta(days=MOST_LIFETIME_DAYS), INSTALLATION))
    lifetime = min(lifetimes, key=lambda one: one.value)
    return Ceilings(
        idle=found.get("idle"),
        session=found["session"],
        lifetime=lifetime,
        lease=found["lease"],
        keep_alive=found["keep_alive"],
        other_lifetimes=tuple(one for one in lifetimes if one is not lifetime),
    )


def _lifetimes(policy: LifecyclePolicy) -> list[Ceiling]:
    """The lifetime ceiling of a policy, and those that it had before it was tightened."""
    if policy.lifetime_days is None:
        return []
    held = [(policy.lifetime_days, policy.lifetime_since)]
    held += [(days, datetime.fromisoformat(since)) for days, since in policy.lifetime_before]
    return [Ceiling(timedelta(days=days), policy.source, since) for days, since in held]


def _lower(found: dict[str, Ceiling], kind: str, ceiling: Ceiling) -> None:
    if kind not in found or ceiling.value < found[kind].value:
        found[kind] = ceiling


def _of_the_installation() -> dict[str, Ceiling]:
    return {
        "session": Ceiling(timedelta(hours=settings.FORGE_SESSION_HOURS_AT_MOST), INSTALLATION),
        "lease": Ceiling(timedelta(hours=settings.FORGE_LEASE_HOURS_AT_MOST), INSTALLATION),
        "keep_alive": Ceiling(timedelta(days=MOST_KEEP_ALIVE_DAYS), INSTALLATION),
    }


def _policies(organization_ids: Iterable[uuid.UUID]) -> dict[Scope, LifecyclePolicy]:
    rows = LifecyclePolicy.objects.filter(organization_id__in=list(organization_ids)).select_related("team")
    return {(row.organization_id, row.team_id, row.blueprint_name): row for row in rows}


def _binding(machine: Any, policies: dict[Scope, LifecyclePolicy]) -> list[LifecyclePolicy]:
    """The policies over a machine, the narrowest scope first."""
    family = machine.blueprint.name if machine.blueprint_id else ""
    scopes: list[Scope] = [(machine.organization_id, machine.team_id, ""), (machine.organization_id, None, "")]
    if family:
        scopes.insert(0, (machine.organization_id, None, family))
    return [policies[scope] for scope in scopes if scope in policies]


def bound_by(policy: LifecyclePolicy) -> Q:
    """The machines over which a policy stands."""
    machines = Q(organization_id=policy.organization_id)
    if policy.team_id:
        machines &= Q(team_id=policy.team_id)
    if policy.blueprint_name:
        machines &= Q(blueprint__name=policy.blueprint_name)
    return machines
