"""Asking for long work, calling it off and asking for another go."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from forge.api.errors import Conflict, Denied
from forge.operations import bell
from forge.operations.counting import count_end
from forge.operations.handlers import handler_of
from forge.operations.models import Operation
from forge.operations.plain import plain


class NotYourOperation(Denied):
    code = "not_your_operation"
    title = "Only whoever asked for it, and people who might ask for the same, may do this"


class OperationFinished(Conflict):
    code = "operation_finished"
    title = "The operation has already ended"


class OperationNotCancellable(Conflict):
    code = "operation_not_cancellable"
    title = "The operation is past the point where it can be cancelled"
    suggested_action = "Wait for its end, then undo its effect, e.g. terminate the machine."


class OperationNotRetryable(Conflict):
    code = "operation_not_retryable"
    title = "Only a failed operation, or one of unknown outcome, can be tried again"


def enqueue(
    *,
    id: uuid.UUID,  # noqa: A002 - the row's own word
    organization_id: uuid.UUID,
    actor_id: uuid.UUID | None,
    kind: str,
    target_type: str,
    target_id: uuid.UUID,
    spec: Mapping[str, Any],
    correlation_id: uuid.UUID,
    now: datetime,
    owner_id: uuid.UUID | None = None,
    team_id: uuid.UUID | None = None,
    deadline_at: datetime | None = None,
    parent_id: uuid.UUID | None = None,
    not_before: datetime | None = None,
) -> Operation:
    """Put the operation into the queue, in the caller's transaction; workers hear of it when that commits.

    With `not_before` it is due only then, for whoever carries it out sooner in another way.

    `spec` is stored as plain JSON: ids, money and times become text. Raises LookupError for a kind without handler.
    """
    handler_of(kind)
    operation = Operation.objects.create(
        id=id,
        organization_id=organization_id,
        actor_id=actor_id,
        owner_id=owner_id,
        team_id=team_id,
        kind=kind,
        target_type=target_type,
        target_id=target_id,
        spec=plain(spec),
        correlation_id=correlation_id,
        parent_id=parent_id,
        deadline_at=deadline_at,
        next_attempt_at=not_before or now,
        created_at=now,
    )
    bell.ring_on_commit(operation.id, at=not_before or now, now=now)
    return operation


def cancel(*, operation: Operation, actor: Any, now: datetime) -> Operation:
    """Call the operation off; answers it as it is now: cancelled, or still running with the request noted.

    What rests is cancelled here, together with the handler's business effects and audit entry; so is what ran under
    a lease that has run out. A live worker sees the request at its next step. Past the point of no return a handler
    that undoes what it did is sent to work with the request noted. Asking again while a request is noted is no fault.
    Raises OperationFinished, or OperationNotCancellable where the handler can no longer do anything.
    """
    handler = handler_of(operation.kind)
    with transaction.atomic():
        handler.lock_first(operation)
        operation = _locked(operation, actor)
        if operation.is_final:
            raise OperationFinished(extra={"operation_status": operation.status})
        if operation.cancel_requested_at is None and operation.id not in handler.cancellable([operation]):
            raise OperationNotCancellable(extra={"operation_status": operation.status})
        if operation.is_leased(now) or not operation.cancellable:
            _change(
                operation,
                now,
                cancel_requested_at=operation.cancel_requested_at or now,
                cancel_requested_by=operation.cancel_requested_by or actor.user_id,
            )
            if operation.status != Operation.Status.RUNNING:
                _change(operation, now, next_attempt_at=now)
                bell.ring_on_commit(operation.id, at=now, now=now)
            handler.cancel_requested(operation, actor=actor, now=now)
            return operation
        handler.cancel(operation, actor=actor, now=now)
        _change(
            operation,
            now,
            status=Operation.Status.CANCELLED,
            finished_at=now,
            next_attempt_at=None,
            lease_expires_at=None,
            leased_by="",
        )
        count_end(operation)
    return operation


def retry(*, operation: Operation, actor: Any, now: datetime) -> Operation:
    """Put a failed operation, or one of unknown outcome, back into the queue with its failures forgotten.

    The handler may refuse, e.g. where the machine of a failed launch is final. Raises OperationNotRetryable.
    """
    handler = handler_of(operation.kind)
    with transaction.atomic():
        handler.lock_first(operation)
        operation = _locked(operation, actor)
        if operation.status not in (Operation.Status.FAILED, Operation.Status.UNKNOWN):
            raise OperationNotRetryable(extra={"operation_status": operation.status})
        handler.retry(operation, actor=actor, now=now)
        # What is being undone past the point of no return goes on being undone.
        is_called_off = operation.status == Operation.Status.UNKNOWN and not operation.cancellable
        _change(
            operation,
            now,
            status=Operation.Status.QUEUED,
            next_attempt_at=now,
            finished_at=None,
            failures=0,
            cancellable=operation.cancellable or operation.status == Operation.Status.FAILED,
            **({} if is_called_off else {"cancel_requested_at": None, "cancel_requested_by": None}),
        )
        bell.ring_on_commit(operation.id, at=now, now=now)
    return operation


def _locked(operation: Operation, actor: Any) -> Operation:
    locked = Operation.objects.select_for_update(no_key=True).get(id=operation.id)
    if actor.user is not None and not handler_of(locked.kind).may_control(actor.user, locked):
        raise NotYourOperation()
    return locked


def _change(operation: Operation, now: datetime, **fields: Any) -> None:
    fields["updated_at"] = now
    Operation.objects.filter(id=operation.id).update(**fields)
    for name, value in fields.items():
        setattr(operation, name, value)
