"""Giving a machine a longer lifetime."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Refused
from workspaces import actions
from workspaces.models import WorkSpace
from workspaces.rules.ceilings import ceilings_of
from workspaces.rules.reckoning import apply, lifetime_ends
from workspaces.services.calling_off import call_off_automatic, refuse_while_under_way
from workspaces.services.control import take

_DAY = timedelta(days=1)


class ExtensionOutOfRange(Refused):
    code = "extension_out_of_range"
    title = "The machine's lifetime cannot end then"


def extend(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    days: int | None = None,
    if_match: frozenset[str] | None = None,
) -> WorkSpace:
    """Let a machine's lifetime end at `until`, or `days` later than now agreed; whole days from its launch are given.

    An automatic end that is queued is called off with it, but not the end of a stale machine, which has nothing to do
    with its lifetime. Raises ExtensionOutOfRange for what is no extension, lies in the past or beyond the smallest
    ceiling, EndUnderWay, and what `start` raises but for OperationInProgress.
    """
    if (until is None) == (days is None):
        raise ValueError("An extension has either an end or a number of days")
    with transaction.atomic():
        call_off_automatic("terminate", of="extend", actor=actor, workspace_id=workspace_id, now=now)
        workspace = take(actor=actor, workspace_id=workspace_id, action="extend", if_match=if_match, exclusive=False)
        refuse_while_under_way("terminate", workspace)
        before = workspace.max_lifetime_days
        wanted = before + days if days is not None else _days_until(workspace, until)
        _require_in_range(workspace, wanted, now=now)
        workspace.max_lifetime_days = wanted
        workspace.version += 1
        workspace.save(update_fields=["max_lifetime_days", "version", "updated_at"])
        apply([workspace], now=now)
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_EXTEND,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Longer lifetime of machine {workspace.id}",
            changes={
                "before": {"max_lifetime_days": before, "reason": None},
                "after": {"max_lifetime_days": wanted, "reason": reason},
            },
            context={"lifetime_end": workspace.lifetime_end.isoformat()},
            occurred_at=now,
        )
    return workspace


def _days_until(workspace: WorkSpace, until: datetime | None) -> int:
    """The whole days from the launch that reach `until`."""
    return -((workspace.created_at - until) // _DAY) if until else 0


def _require_in_range(workspace: WorkSpace, wanted: int, *, now: datetime) -> None:
    ceiling = ceilings_of([workspace])[workspace.id].lifetime
    most = ceiling.value.days
    end = lifetime_ends([workspace])[workspace.id]
    figures = {
        "lifetime_end": end,
        "latest": workspace.created_at + ceiling.value,
        "days_at_most": most,
        "ceiling": ceiling.source,
    }
    if wanted > most:
        raise ExtensionOutOfRange(f"It may last {most} days at most ({ceiling.source}).", extra=figures)
    if wanted <= workspace.max_lifetime_days:
        raise ExtensionOutOfRange(f"The lifetime ends at {end:%Y-%m-%d %H:%M} UTC.", extra=figures)
    if workspace.created_at + timedelta(days=wanted) <= now:
        raise ExtensionOutOfRange("That would be over already.", extra=figures)
