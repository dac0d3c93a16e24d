"""Start, stop and terminate a machine that exists, and what everything that is asked of one has in common."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.api.errors import Conflict
from forge.api.etags import require_version
from forge.db.ids import uuid7
from forge.operations import services as operations
from forge.operations.models import Operation
from forge.operations.services import enqueue
from workspaces import actions, permissions
from workspaces.busy import under_way
from workspaces.intents import Intent
from workspaces.lifecycle import BARRED_IN_QUARANTINE, BY_ITSELF_AFTER, legal_actions
from workspaces.models import WorkSpace
from workspaces.resizing import Configuration
from workspaces.services.launching import LAUNCH_PROMISE, ask_guards, with_repairs
from workspaces.transitions import lock_machine, lock_scopes_of


class IllegalInThisState(Conflict):
    code = "illegal_in_this_state"
    title = "The machine's state does not allow this"


class OperationInProgress(Conflict):
    code = "operation_in_progress"
    title = "Something else is being done to this machine"
    suggested_action = "Wait for the operation named in `operation`, or cancel it."
    advice = "Wait until that has ended, or cancel it under Operations."


class InQuarantine(Conflict):
    code = "machine_quarantined"
    title = "The machine's owner is switched off, so nobody uses it"
    suggested_action = "An admin switches the owner on again, or hands the machine over."


@dataclass(frozen=True)
class Accepted:
    """A machine, the operation that will change it, and the guards' figures."""

    workspace: WorkSpace
    operation: Operation
    figures: dict[str, Any]


def start(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    now: datetime,
    if_match: frozenset[str] | None = None,
    bulk: Operation | None = None,
) -> Accepted:
    """Queue the start of a STOPPED machine after asking the launch guards.

    Like its sisters it takes `if_match`, the versions that the caller has read (None = any), and raises MayNotControl,
    PreconditionFailed, IllegalInThisState and OperationInProgress; `bulk` is the operation that it is a part of.
    """

    def admit() -> Accepted:
        workspace = take(actor=actor, workspace_id=workspace_id, action="start", if_match=if_match)
        operation_id = uuid7()
        intent = intent_of(workspace, kind="start", actor=actor, operation_id=operation_id, now=now)
        figures = ask_guards(intent, dry_run=False)
        operation = queue(
            workspace,
            actor=actor,
            verb="start",
            audit_action=actions.WORKSPACE_START,
            operation_id=operation_id,
            now=now,
            bulk=bulk,
        )
        return Accepted(workspace, operation, figures)

    return with_repairs(admit)


def stop(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    now: datetime,
    if_match: frozenset[str] | None = None,
    bulk: Operation | None = None,
) -> Accepted:
    """Queue the stop of an AVAILABLE machine."""
    with transaction.atomic():
        workspace = take(actor=actor, workspace_id=workspace_id, action="stop", if_match=if_match)
        operation = queue(
            workspace,
            actor=actor,
            verb="stop",
            audit_action=actions.WORKSPACE_STOP,
            operation_id=uuid7(),
            now=now,
            bulk=bulk,
        )
    return Accepted(workspace, operation, {})


def terminate(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    now: datetime,
    if_match: frozenset[str] | None = None,
    bulk: Operation | None = None,
) -> Accepted:
    """Queue the end of a machine; its data are lost when AWS has carried it out.

    The end of one that is being launched is that of its launch, whose operation is the answer: cancelled, or sent to
    end whatever comes of it.
    """
    try:
        called_off = _call_off_launch(actor=actor, workspace_id=workspace_id, now=now, if_match=if_match)
    except (operations.OperationFinished, operations.OperationNotCancellable):
        called_off = None  # it ended just now: there is a machine, or there will be none
    if called_off is not None:
        return called_off
    with transaction.atomic():
        workspace = take(actor=actor, workspace_id=workspace_id, action="terminate", if_match=if_match)
        operation = queue(
            workspace,
            actor=actor,
            verb="terminate",
            audit_action=actions.WORKSPACE_TERMINATE,
            operation_id=uuid7(),
            now=now,
            bulk=bulk,
        )
    return Accepted(workspace, operation, {})


def _call_off_launch(
    *, actor: Actor, workspace_id: uuid.UUID, now: datetime, if_match: frozenset[str] | None
) -> Accepted | None:
    """Cancel the open launch of a machine, which is locked after its operation; None when it has none."""
    launch = Operation.objects.open().filter(target_id=workspace_id, kind="workspace.launch").first()
    if launch is None:
        return None
    with transaction.atomic():
        require_may(actor, "terminate", WorkSpace.objects.get(pk=workspace_id))
        operation = operations.cancel(operation=launch, actor=actor, now=now)
        workspace = lock_machine(workspace_id)
        require_version(workspace, if_match)
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_TERMINATE,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Request to terminate machine {workspace.id}",
            changes={"before": {"launch": str(launch.status)}, "after": {"launch": str(operation.status)}},
            context={"operation_id": str(operation.id), "state": workspace.state},
            occurred_at=now,
        )
    return Accepted(workspace, operation, {})


def require_may(actor: Actor, action: str, workspace: WorkSpace) -> None:
    """Raises MayNotControl unless the actor is a job, a command, or a person whose role allows `action`."""
    if actor.kind not in (Kind.JOB, Kind.COMMAND):
        permissions.require(actor.user, action, workspace)


def take(
    *, actor: Actor, workspace_id: uuid.UUID, action: str, if_match: frozenset[str] | None, exclusive: bool = True
) -> WorkSpace:
    """The machine locked, with permission, version, state and (when `exclusive`) lack of other operations checked."""
    lock_scopes_of(workspace_id)
    workspace = lock_machine(workspace_id)
    require_able(workspace, actor=actor, action=action, if_match=if_match, exclusive=exclusive)
    return workspace


def require_able(
    workspace: WorkSpace, *, actor: Actor, action: str, if_match: frozenset[str] | None, exclusive: bool = True
) -> None:
    """Raises MayNotControl, PreconditionFailed, IllegalInThisState, and OperationInProgress when `exclusive`."""
    require_may(actor, action, workspace)
    require_version(workspace, if_match)
    require_legal(action, workspace)
    active = under_way().filter(target_id=workspace.id).values_list("id", "kind").first()
    if exclusive and active is not None:
        raise in_progress(*active)


def in_progress(operation_id: uuid.UUID, kind: str) -> OperationInProgress:
    """The refusal because of an open operation."""
    return OperationInProgress(
        f"Operation {kind} is not finished.", extra={"operation": str(operation_id), "kind": kind}
    )


def require_use(action: str, workspace: WorkSpace) -> None:
    """Raises InQuarantine where nobody may use the machine, and `action` would be use."""
    if workspace.quarantined_at is not None and action in BARRED_IN_QUARANTINE:
        raise InQuarantine(
            f"Machine {workspace.name} is in quarantine since {workspace.quarantined_at:%Y-%m-%d %H:%M} UTC.",
            extra={"quarantined_at": workspace.quarantined_at, "legal": legal_of(workspace)},
        )


def require_legal(action: str, workspace: WorkSpace) -> None:
    """Raises InQuarantine; IllegalInThisState, with what the state allows."""
    require_use(action, workspace)
    legal = legal_of(workspace)
    if action not in legal:
        raise IllegalInThisState(
            f"A machine that is {workspace.state} ({workspace.running_mode}) cannot {action}.",
            extra={"state": workspace.state, "running_mode": workspace.running_mode, "legal": legal},
        )


def queue(
    workspace: WorkSpace,
    *,
    actor: Actor,
    verb: str,
    audit_action: str,
    operation_id: uuid.UUID,
    now: datetime,
    spec: Mapping[str, Any] | None = None,
    promise: timedelta = LAUNCH_PROMISE,
    bulk: Operation | None = None,
    changes: Mapping[str, Any] | None = None,
    description: str = "",
    context: Mapping[str, Any] | None = None,
) -> Operation:
    """The operation that carries `verb` out, with its audit entry; the machine is locked.

    `changes`, `description` and more `context` are the entry's.

    One that is part of a `bulk` operation is left to it for a while.
    """
    workspace.version += 1
    workspace.save(update_fields=["version", "updated_at"])
    operation = enqueue(
        id=operation_id,
        organization_id=workspace.organization_id,
        actor_id=actor.user_id,
        kind=f"workspace.{verb}",
        target_type="WorkSpace",
        target_id=workspace.id,
        spec=spec or {},
        correlation_id=actor.correlation_id,
        now=now,
        owner_id=workspace.owner_id,
        team_id=workspace.team_id,
        deadline_at=now + promise,
        parent_id=bulk.pk if bulk else None,
        not_before=now + BY_ITSELF_AFTER if bulk and workspace.capabilities.takes_batches else None,
    )
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=audit_action,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=description or f"Request to {verb} machine {workspace.id}",
        changes=changes or {"before": {"operation": None}, "after": {"operation": operation.kind}},
        context={"operation_id": str(operation.id), "state": workspace.state, **(context or {})},
        occurred_at=now,
    )
    return operation


def legal_of(workspace: WorkSpace) -> list[str]:
    """What a machine's state and service allow, whoever asks; of one in quarantine only what does not use it."""
    legal = legal_actions(workspace.state, workspace.running_mode, workspace.service_type)
    return legal if workspace.quarantined_at is None else [one for one in legal if one not in BARRED_IN_QUARANTINE]


def intent_of(
    workspace: WorkSpace,
    *,
    kind: Literal["start", "modify", "move"],
    actor: Actor,
    operation_id: uuid.UUID,
    now: datetime,
    becoming: Configuration | None = None,
) -> Intent:
    """What the guards judge when something is asked of a machine that exists; `becoming` is what it is changed to."""
    facts = becoming or Configuration.of(workspace)
    role = actor.user.role_in(workspace.team_id) if actor.has_account else None
    return Intent(
        kind=kind,
        actor=actor,
        now=now,
        organization=workspace.organization,
        owner=workspace.owner,
        team=workspace.team,
        project=workspace.project,
        role=role or "",
        blueprint=workspace.blueprint,
        service_type=workspace.service_type,
        application_ids=tuple(workspace.application_ids),
        bundle_type=facts.bundle_type,
        operating_system=workspace.operating_system,
        running_mode=facts.running_mode,
        region=workspace.region,
        root_volume_gb=facts.root_volume_gb,
        user_volume_gb=facts.user_volume_gb,
        lifetime_end=workspace.lives_until(now),
        workspace_id=workspace.id,
        operation_id=operation_id,
        correlation_id=actor.correlation_id,
        workspace=workspace,
    )
