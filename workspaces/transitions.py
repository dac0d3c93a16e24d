"""The one way in which a machine changes its state, and the locks that come before it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from audit.actors import Actor
from forge.accounts.locks import lock_scopes
from forge.db import ports
from workspaces import mails
from workspaces.lifecycle import TERMINAL_STATES, State, may_move
from workspaces.models import AttributionChange, StateChange, WorkSpace


class IllegalMove(Exception):
    """A programming error: the caller asked for a move that workspaces.lifecycle.MOVES does not have."""


def lock_scopes_of(
    workspace_id: uuid.UUID, *, team_id: uuid.UUID | None = None, project_id: uuid.UUID | None = None
) -> None:
    """Take the scope rows of a machine FOR KEY SHARE; they come before the operation and the machine itself.

    With those of whom it belonged to before: hours that are not booked yet may still be theirs; and with the team and
    project given, whose it is to be. Raises WorkSpace.DoesNotExist.
    """
    payers = ("owner_id", "team_id", "project_id", "organization_id")
    former = AttributionChange.objects.filter(workspace_id=workspace_id).values_list(*payers)
    rows = list(WorkSpace.objects.filter(pk=workspace_id).values_list(*payers).union(former))
    if not rows:
        raise WorkSpace.DoesNotExist
    users, teams, projects, organizations = zip(*rows, strict=True)
    lock_scopes(
        user_ids=users,
        team_ids=[*teams, team_id],
        project_ids=[*projects, project_id],
        organization_ids=organizations,
    )


def lock_machine(workspace_id: uuid.UUID) -> WorkSpace:
    """The machine, locked FOR NO KEY UPDATE; the caller holds its scope rows.

    Of a machine that was moved after the caller had looked whose it is, those of its new team and project are taken
    only here. That is out of order, but whoever has such a row FOR UPDATE (an adoption) waits for no machine.
    """
    workspace = (
        WorkSpace.objects.select_for_update(no_key=True, of=("self",))
        .select_related("provider_account", "owner")
        .get(pk=workspace_id)
    )
    if workspace.attributed_at is not None:
        lock_scopes(team_ids=[workspace.team_id], project_ids=[workspace.project_id])
    return workspace


def move(
    *, workspace: WorkSpace, target: State, occurred_at: datetime, reason: str, actor: Actor, now: datetime
) -> StateChange | None:
    """Bring a locked machine into `target` and write the change down; None when it is there already.

    `occurred_at` is business time and never earlier than the last change. A move into a terminal state calls the
    end hooks (booking to the end, release of the reservations) in the same transaction, and what the move tells its
    owner is owed by mail. Saves the state fields only.
    """
    source = State(workspace.state)
    if source == target:
        return None
    if not may_move(source, target):
        raise IllegalMove(f"{workspace.id}: {source} → {target}")
    at = max(occurred_at, workspace.state_since)
    workspace.state = target
    workspace.state_since = at
    fields = ["state", "state_since", "updated_at"]
    is_launched = target == State.AVAILABLE and workspace.launched_at is None
    if is_launched:
        workspace.launched_at = at
        fields.append("launched_at")
    if target == State.STOPPED:
        workspace.stopped_at = at
        fields.append("stopped_at")
    if target in TERMINAL_STATES:
        workspace.terminated_at = at
        workspace.health = ""
        workspace.next_action = ""
        workspace.next_action_at = None
        fields += ["terminated_at", "health", "next_action", "next_action_at"]
    workspace.save(update_fields=fields)
    change = record_change(workspace=workspace, source=source, occurred_at=at, reason=reason, actor=actor)
    if target in TERMINAL_STATES:
        end(workspaces=[workspace], actor=actor, now=now)
    mails.moved(workspace, is_launched=is_launched, reason=reason, actor=actor, now=now)
    return change


def record_change(
    *, workspace: WorkSpace, source: State | None, occurred_at: datetime, reason: str, actor: Actor
) -> StateChange:
    """The append-only row of a change that has been made (or of the machine's beginning: source None)."""
    return StateChange.objects.create(
        organization_id=workspace.organization_id,
        workspace=workspace,
        from_state=source or "",
        to_state=workspace.state,
        occurred_at=occurred_at,
        reason=reason,
        actor_kind=actor.kind,
        actor_id=actor.user_id,
        correlation_id=actor.correlation_id,
    )


def end(*, workspaces: Sequence[WorkSpace], actor: Actor, now: datetime) -> None:
    """Call the end hooks for machines that have just become terminal."""
    ports.call_all("FORGE_END_HOOKS", workspaces=workspaces, actor=actor, now=now)
