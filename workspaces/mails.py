"""Mail that machines owe their owners: written in the transaction of the change that it tells."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from audit.actors import Actor
from forge.outbox.services import Owed, owe
from workspaces.lifecycle import State
from workspaces.models import WorkSpace

READY = "workspace.ready"
FAILED = "workspace.failed"
ENDED = "workspace.ended"
ABOUT_TO_STOP = "workspace.about_to_stop"
ABOUT_TO_END = "workspace.about_to_end"
QUARANTINED = "workspace.quarantined"
HANDED_OVER = "workspace.handed_over"
KEPT_NO_LONGER = "workspace.kept_no_longer"
MOVED = "workspace.moved"

ADDRESS_KNOWN_AFTER = timedelta(seconds=30)
"""A machine is available before AWS has told its registration code, which follows at once or after a few tries."""


def about(
    workspace: WorkSpace,
    kind: str,
    *,
    actor: Actor,
    once: str = "",
    facts: Mapping[str, Any] | None = None,
    due_at: datetime | None = None,
    useless_after: datetime | None = None,
    recipient_id: uuid.UUID | None = None,
) -> Owed:
    """A mail of `kind` about the machine to its owner, or to somebody else; `once` tells it from an earlier one."""
    return Owed(
        organization_id=workspace.organization_id,
        recipient_id=recipient_id or workspace.owner_id,
        kind=kind,
        target_type="WorkSpace",
        target_id=workspace.id,
        once=f"{workspace.id}:{once}" if once else str(workspace.id),
        facts=facts or {},
        correlation_id=actor.correlation_id,
        due_at=due_at,
        useless_after=useless_after,
        team_id=workspace.team_id,
    )


def moved(workspace: WorkSpace, *, is_launched: bool, reason: str, actor: Actor, now: datetime) -> None:
    """Owe what a move of a locked machine tells its owner: that it is ready, that its launch failed, that it ended."""
    by = str(actor.user_id) if actor.user_id else None
    facts = {"reason": reason, "by": by, "at": workspace.state_since.isoformat()}
    if is_launched:
        owe([about(workspace, READY, actor=actor, facts=facts, due_at=now + ADDRESS_KNOWN_AFTER)], now=now)
    elif workspace.state == State.FAILED:
        owe([about(workspace, FAILED, actor=actor, facts=facts)], now=now)
    elif workspace.state == State.TERMINATED:
        owe([about(workspace, ENDED, actor=actor, facts=facts)], now=now)


def about_to(workspace: WorkSpace, kind: str, *, at: datetime, rule: str, actor: Actor, now: datetime) -> Owed:
    """The warning that a rule will stop or end the machine at `at`; two rules may warn of their ends in one run."""
    facts = {"at": at.isoformat(), "rule": rule}
    return about(workspace, kind, actor=actor, once=f"{rule}:{now.isoformat()}", facts=facts)
