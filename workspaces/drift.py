"""Machines that somebody changed past Forge, in AWS's own console: their rows follow what AWS shows.

AWS bills what it has, so a row that stayed behind would be metered wrongly until the bill comes. The AutoStop time is
left out: it costs nothing, and work leases lengthen it (`workspaces.autostop`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from blueprints.models import BundleType
from forge.db import ports
from workspaces import actions, aws
from workspaces.busy import under_way
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.transitions import lock_machine, lock_scopes_of

LATE = timedelta(minutes=15)
"""So long after a modification AWS may show what was before it."""

FACTS = ("bundle_type", "running_mode", "root_volume_gb", "user_volume_gb")

FOLLOWED = (State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING)


def unlike(
    machines: Sequence[WorkSpace], shown: Mapping[str, aws.Machine], *, now: datetime
) -> Iterator[tuple[WorkSpace, dict[str, Any]]]:
    """Machines that AWS shows with another compute type, running mode or volume, and what it shows.

    Passed over is what AWS is changing or Forge has changed a short while ago.
    """
    for machine in machines:
        seen = shown[machine.provider_id]
        is_fresh = machine.configured_at is not None and now < machine.configured_at + LATE
        if machine.state not in FOLLOWED or seen.modifying or is_fresh:
            continue
        shows = {name: getattr(seen, name) for name in FACTS}
        differing = {name: value for name, value in shows.items() if value and value != getattr(machine, name)}
        if differing:
            yield machine, differing


def is_known(differing: Mapping[str, Any]) -> bool:
    """Whether Forge has words for it; AWS sells more compute types and modes than Forge offers."""
    known = {"bundle_type": BundleType.values, "running_mode": WorkSpace.RunningMode.values}
    return all(differing[name] in values for name, values in known.items() if name in differing)


def follow(machine: WorkSpace, differing: Mapping[str, Any], *, actor: Actor, now: datetime) -> bool:
    """Bring the row to what AWS shows, unless anything but this look has done something to the machine since then."""
    with transaction.atomic():
        lock_scopes_of(machine.id)
        locked = lock_machine(machine.id)
        before = {name: getattr(locked, name) for name in differing}
        is_as_read = (locked.state, locked.version) == (machine.state, machine.version) and all(
            value == getattr(machine, name) for name, value in before.items()
        )
        if locked.state not in FOLLOWED or not is_as_read or under_way().filter(target_id=machine.id).exists():
            return False
        for name, value in differing.items():
            setattr(locked, name, value)
        locked.configured_at = now
        locked.save(update_fields=[*differing, "configured_at", "updated_at"])
        ports.call_all("FORGE_CHANGE_HOOKS", workspace=locked, now=now)
        record(
            actor=actor.for_one_of(locked.organization_id),
            action=actions.WORKSPACE_DRIFT,
            resource_type="WorkSpace",
            resource_id=str(locked.id),
            description=f"Machine {locked.id} was changed in AWS",
            changes={"before": before, "after": dict(differing)},
            context={"state": locked.state},
            occurred_at=now,
        )
    return True
