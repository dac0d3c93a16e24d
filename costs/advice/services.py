"""What people decide about advice: to have it carried out, to put it off, to dismiss it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record_many
from costs import actions
from costs.advice import keeping
from costs.advice.cases import Proposal
from costs.advice.sweep import look_at
from costs.models import Advice
from forge.api.errors import Conflict, Refused
from forge.operations.models import Operation
from workspaces import services as machines
from workspaces.services.control import require_able, require_may

Action, Status = Advice.Action, Advice.Status

_VERB = {Action.MODIFY: "modify", Action.STOP: "stop", Action.TERMINATE: "terminate"}


class AdviceDecided(Conflict):
    code = "advice_decided"
    title = "The advice is not open any more"
    suggested_action = "Look into the list for what is advised for the machine now."


class AdviceOutdated(Conflict):
    code = "advice_outdated"
    title = "What the advice rests on has changed"
    suggested_action = "Look again after the next run of advise_costs, or ask for the change itself."
    advice = "Look again in a few minutes, or ask for the change itself."


class SnoozeInPast(Refused):
    code = "snooze_in_past"
    title = "The time until which it is put off is over"


@dataclass(frozen=True)
class Accepted:
    """An advice and the operation that carries it out."""

    advice: Advice
    operation: Operation


def verb_of(advice: Advice) -> str:
    """What a person must be allowed to do to the machine to decide on the advice."""
    return _VERB[Action(advice.action)]


def accept(*, actor: Actor, advice_id: uuid.UUID, now: datetime) -> Accepted:
    """Have the advice carried out as if the person had asked for it; accepting it again gives the same operation.

    Raises MayNotControl, AdviceDecided, AdviceOutdated, and whatever the change itself is refused with: by guards and
    budgets, AWS's limits, the machine's state. Then the advice stays as it was.
    """
    with transaction.atomic():
        advice = _locked(advice_id)
        require_may(actor, verb_of(advice), advice.workspace)
        if advice.operation_id is not None and advice.status == Status.ACCEPTED:
            operation = Operation.objects.get(pk=advice.operation_id)
            _record(advice, str(advice.status), actions.ADVICE_ACCEPT, actor=actor, now=now)
            return Accepted(advice, operation)
        _require_open(advice, now)
        keeping.refresh(advice, _still_holds(actor, advice, now), now)
        operation = _carry_out(actor, advice, now)
        advice.operation_id = operation.id
        _decide(advice, Status.ACCEPTED, "Accepted.", actions.ADVICE_ACCEPT, actor=actor, now=now)
    return Accepted(advice, operation)


def snooze(*, actor: Actor, advice_id: uuid.UUID, until: datetime, reason: str, now: datetime) -> Advice:
    """Put the advice off; it is open again at `until` if it still holds. Raises as `dismiss` does, and SnoozeInPast."""
    if until <= now:
        raise SnoozeInPast("Give a time that is ahead.", extra={"until": until})
    with transaction.atomic():
        advice = _decidable(actor, advice_id, now)
        advice.snoozed_until = until
        _decide(advice, Status.SNOOZED, reason, actions.ADVICE_SNOOZE, actor=actor, now=now)
    return advice


def dismiss(*, actor: Actor, advice_id: uuid.UUID, reason: str, now: datetime) -> Advice:
    """Reject the advice for good: it comes back only as another proposal. Raises MayNotControl, AdviceDecided."""
    with transaction.atomic():
        advice = _decidable(actor, advice_id, now)
        _decide(advice, Status.DISMISSED, reason, actions.ADVICE_DISMISS, actor=actor, now=now)
    return advice


def _decidable(actor: Actor, advice_id: uuid.UUID, now: datetime) -> Advice:
    advice = _locked(advice_id)
    require_may(actor, verb_of(advice), advice.workspace)
    _require_open(advice, now)
    return advice


def _locked(advice_id: uuid.UUID) -> Advice:
    """The row locked, the first lock of its transaction but for an Idempotency-Key's."""
    rows = Advice.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("workspace__organization").get(pk=advice_id)


def _require_open(advice: Advice, now: datetime) -> None:
    if not advice.is_decidable(now):
        raise AdviceDecided(
            f"It is {advice.status} since {advice.decided_at:%Y-%m-%d %H:%M} UTC: {advice.reason}",
            extra={"decided_at": advice.decided_at},
        )


def _still_holds(actor: Actor, advice: Advice, now: datetime) -> Proposal:
    """The same proposal as it follows from what is known and from the prices in force now; raises AdviceOutdated.

    One whose machine is in the middle of something else, or has ended, is refused as the change itself would be.
    """
    require_able(advice.workspace, actor=actor, action=verb_of(advice), if_match=None)
    proposals = look_at(advice.workspace, now=now)
    for proposal in proposals:
        if proposal.kind == advice.kind and advice.proposes(proposal.action, proposal.changes):
            return proposal
    raise AdviceOutdated(
        "By what is known now it is not advised any more.",
        extra={"proposed": [{"kind": one.kind, "action": one.action, "changes": one.changes} for one in proposals]},
    )


def _carry_out(actor: Actor, advice: Advice, now: datetime) -> Operation:
    asked: dict[str, Any] = {"actor": actor, "workspace_id": advice.workspace_id, "now": now}
    if advice.action == Action.MODIFY:
        operation = machines.modify(**asked, wanted=advice.changes).operation
    elif advice.action == Action.STOP:
        operation = machines.stop(**asked).operation
    else:
        operation = machines.terminate(**asked).operation
    if operation is None:
        raise AssertionError("a change that is no dry run has an operation")
    return operation


def _decide(advice: Advice, status: str, reason: str, action: str, *, actor: Actor, now: datetime) -> None:
    before = str(advice.status)
    advice.status, advice.reason, advice.decided_at = status, reason, now
    advice.decided_by_id = actor.user_id
    if status != Status.SNOOZED:
        advice.snoozed_until = None
    advice.save()
    _record(advice, before, action, actor=actor, now=now)


def _record(advice: Advice, before: str, action: str, *, actor: Actor, now: datetime) -> None:
    operation = {"operation_id": str(advice.operation_id)} if advice.operation_id else {}
    entry = keeping.entry_of(advice, before, action=action, actor=actor, now=now, reason=advice.reason, **operation)
    record_many([entry])
