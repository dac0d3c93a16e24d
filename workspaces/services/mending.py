"""Reboot, rebuild and restore: what people do with a machine that does not do well."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from audit.actors import Actor
from forge.db.ids import uuid7
from forge.operations.models import Operation
from workspaces import actions
from workspaces.lifecycle import State
from workspaces.services.control import Accepted, intent_of, queue, take
from workspaces.services.launching import ask_guards, with_repairs

REBOOT_PROMISE = timedelta(minutes=10)
REBUILD_PROMISE = timedelta(hours=2)
"""How long AWS may take; rebuilding and restoring may take an hour by its guide."""

LOSSES = {
    "reboot": ("What is not saved is lost.",),
    "rebuild": (
        "The system volume is made anew from the image: programs and settings that are on it are lost.",
        "The user volume goes back to its last snapshot (AWS takes one every 12 hours): what is newer is lost.",
    ),
    "restore": (
        "Both volumes go back to the last snapshot (AWS takes one every 12 hours): what was written since is lost.",
    ),
}
"""What each of them costs in data, in sentences (WorkSpaces administration guide, "Rebuild" and "Restore")."""


def reboot(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    now: datetime,
    if_match: frozenset[str] | None = None,
    bulk: Operation | None = None,
) -> Accepted:
    """Queue a reboot of an AVAILABLE machine; raises what `stop` raises."""
    return _ask("reboot", actions.WORKSPACE_REBOOT, REBOOT_PROMISE, actor, workspace_id, now, if_match, bulk)


def rebuild(
    *, actor: Actor, workspace_id: uuid.UUID, now: datetime, if_match: frozenset[str] | None = None
) -> Accepted:
    """Queue the rebuilding of a machine: what LOSSES says is lost. Raises what `start` raises."""
    return _ask("rebuild", actions.WORKSPACE_REBUILD, REBUILD_PROMISE, actor, workspace_id, now, if_match)


def restore(
    *, actor: Actor, workspace_id: uuid.UUID, now: datetime, if_match: frozenset[str] | None = None
) -> Accepted:
    """Queue the return of a machine to its last snapshot. Raises what `start` raises."""
    return _ask("restore", actions.WORKSPACE_RESTORE, REBUILD_PROMISE, actor, workspace_id, now, if_match)


def _ask(
    verb: str,
    audit_action: str,
    promise: timedelta,
    actor: Actor,
    workspace_id: uuid.UUID,
    now: datetime,
    if_match: frozenset[str] | None,
    bulk: Operation | None = None,
) -> Accepted:
    def admit() -> Accepted:
        workspace = take(actor=actor, workspace_id=workspace_id, action=verb, if_match=if_match)
        operation_id = uuid7()
        figures = {}
        if workspace.state == State.STOPPED:  # it runs afterwards, so it is a start too
            figures = ask_guards(
                intent_of(workspace, kind="start", actor=actor, operation_id=operation_id, now=now), dry_run=False
            )
        operation = queue(
            workspace,
            actor=actor,
            verb=verb,
            audit_action=audit_action,
            operation_id=operation_id,
            now=now,
            promise=promise,
            bulk=bulk,
        )
        return Accepted(workspace, operation, figures)

    return with_repairs(admit)
