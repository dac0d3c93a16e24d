"""Keeping a machine alive against the rules that would end it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Conflict, Refused
from forge.operations import services as operations
from forge.operations.models import Operation
from workspaces import actions
from workspaces.lifecycle import AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.services.control import require_may, take

MAX_KEEP_ALIVE = timedelta(days=365)


class KeepAliveOutOfRange(Refused):
    code = "keep_alive_out_of_range"
    title = "The end of the keep-alive does not fit"


class EndUnderWay(Conflict):
    code = "end_under_way"
    title = "The machine is being ended already"
    suggested_action = "Cancel the operation named in `operation`, if that is still possible, and ask again."


def keep_alive(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    until: datetime | None,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> WorkSpace:
    """Protect a machine from automatic ends until a time (None = take the protection away).

    An automatic end that is queued is called off with it. Raises KeepAliveOutOfRange, EndUnderWay (past the point of
    no return, or a person asked for the end), and what `start` raises but for OperationInProgress.
    """
    if until is not None and not now < until <= now + MAX_KEEP_ALIVE:
        raise KeepAliveOutOfRange(
            f"`until` must lie in the future, at most {MAX_KEEP_ALIVE.days} days ahead.",
            extra={"until": until, "after": now, "latest": now + MAX_KEEP_ALIVE},
        )
    with transaction.atomic():
        if until is not None:
            _call_off_automatic_end(actor=actor, workspace_id=workspace_id, now=now)
        workspace = take(
            actor=actor, workspace_id=workspace_id, action="keep-alive", if_match=if_match, exclusive=False
        )
        if until is not None:
            _refuse_while_it_ends(workspace)
        before = _facts(workspace)
        workspace.keep_alive = until is not None
        workspace.keep_alive_until = until
        workspace.keep_alive_reason = reason if until is not None else ""
        workspace.version += 1
        workspace.save(update_fields=["keep_alive", "keep_alive_until", "keep_alive_reason", "version", "updated_at"])
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_KEEP_ALIVE,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Keep-alive of machine {workspace.id}",
            changes={"before": before, "after": _facts(workspace)},
            occurred_at=now,
        )
    return workspace


def _ends_of(workspace_id: uuid.UUID) -> Any:
    """The open operations that end the machine, but for those that their worker is about to call off."""
    ends = Operation.objects.open().filter(target_id=workspace_id, kind="workspace.terminate")
    return ends.filter(cancel_requested_at__isnull=True)


def _call_off_automatic_end(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> None:
    """Comes before the machine is locked: the operation is the earlier one in the lock order."""
    require_may(actor, "keep-alive", WorkSpace.objects.get(pk=workspace_id))
    end = _ends_of(workspace_id).filter(spec=AUTOMATIC).first()
    if end is None:
        return
    try:
        operations.cancel(operation=end, actor=actor, now=now)
    except operations.OperationFinished:
        return  # the machine's state says how it ended
    except operations.OperationNotCancellable as error:
        raise _under_way(end) from error


def _refuse_while_it_ends(workspace: WorkSpace) -> None:
    end = _ends_of(workspace.id).first()
    if end is not None:
        raise _under_way(end)


def _under_way(end: Operation) -> EndUnderWay:
    return EndUnderWay(f"Operation {end.id} ends the machine.", extra={"operation": str(end.id), "kind": end.kind})


def _facts(workspace: WorkSpace) -> dict[str, Any]:
    until = workspace.keep_alive_until
    return {
        "keep_alive": workspace.keep_alive,
        "until": until.isoformat() if until else None,
        "reason": workspace.keep_alive_reason,
    }
