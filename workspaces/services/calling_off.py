"""Calling off what a rule has queued, because a person wants the machine to stay."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.api.errors import Conflict
from forge.operations import services as operations
from forge.operations.models import Operation
from workspaces.lifecycle import AUTOMATIC
from workspaces.models import Decision, WorkSpace
from workspaces.rules.deadlines import Rule
from workspaces.services.control import require_may


class EndUnderWay(Conflict):
    code = "end_under_way"
    title = "The machine is being ended already"
    suggested_action = "Cancel the operation named in `operation`, if that is still possible, and ask again."
    advice = "Cancel its end under Operations, if that is still possible, and ask again."


class StaleEndUnderWay(EndUnderWay):
    title = "The machine is being ended because it is stale, whatever its lifetime"
    suggested_action = "Have it kept alive: that calls off the operation named in `operation`, if it still can be."
    advice = "Have it kept alive: that calls its end off, if that is still possible."


class StopUnderWay(Conflict):
    code = "stop_under_way"
    title = "The machine is being stopped already"
    suggested_action = "Wait for the operation named in `operation`, then start the machine."
    advice = "Wait until it has stopped, then start it."


_UNDER_WAY: dict[str, type[Conflict]] = {"terminate": EndUnderWay, "stop": StopUnderWay}


def call_off_automatic(verb: str, *, of: str, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> None:
    """Call off the automatic end (or stop) of a machine, if one is queued, for the action `of`.

    Comes before the machine is locked: the operation is the earlier one in the lock order. Raises MayNotControl,
    EndUnderWay or StopUnderWay past the point of no return, and StaleEndUnderWay where a longer lifetime is no help.
    """
    require_may(actor, of, WorkSpace.objects.get(pk=workspace_id))
    queued = _open(verb, workspace_id).filter(spec=AUTOMATIC).first()
    if queued is None:
        return
    if of == "extend" and rule_behind(queued) == Rule.STALE:
        raise StaleEndUnderWay(
            "The machine is being ended because it is stale; it must be kept alive to stay.",
            extra={"operation": str(queued.id), "kind": queued.kind},
        )
    try:
        operations.cancel(operation=queued, actor=actor, now=now)
    except operations.OperationFinished:
        return  # the machine's state says how it ended
    except operations.OperationNotCancellable as error:
        raise _under_way(verb, queued) from error


def rule_behind(operation: Operation) -> str | None:
    """The rule that has queued the operation on a machine, by its decision; None = a person has."""
    decided = Decision.objects.filter(workspace_id=operation.target_id, operation_id=operation.id)
    return decided.values_list("rule", flat=True).first()


def refuse_while_under_way(verb: str, workspace: WorkSpace) -> None:
    """Raises EndUnderWay or StopUnderWay while the locked machine is being ended or stopped."""
    found = _open(verb, workspace.id).first()
    if found is not None:
        raise _under_way(verb, found)


def _open(verb: str, workspace_id: uuid.UUID) -> Any:
    """The open operations of a kind, but for those that their worker is about to call off."""
    found = Operation.objects.open().filter(target_id=workspace_id, kind=f"workspace.{verb}")
    return found.filter(cancel_requested_at__isnull=True)


def _under_way(verb: str, operation: Operation) -> Conflict:
    said = f"An operation to {verb} the machine is under way."
    return _UNDER_WAY[verb](said, extra={"operation": str(operation.id), "kind": operation.kind})
