"""Launching a machine: guards, rows and audit entry in one transaction, no cloud call inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts.locks import lock_scopes
from forge.db import ports
from forge.db.integrity import refusing
from forge.operations.models import Operation
from forge.operations.services import enqueue
from workspaces import actions
from workspaces.intents import Intent, LaunchSpec, RepairFirst
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.resolve import Launch, MachineExists, resolve_launch
from workspaces.transitions import record_change

LAUNCH_PROMISE = timedelta(minutes=5)
"""A launch is to be AVAILABLE within this time (requirement 1.1)."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class LaunchAnswer:
    """What a launch came to; on a dry run there is neither machine nor operation, only figures."""

    workspace: WorkSpace | None
    operation: Operation | None
    figures: dict[str, Any]


def launch(*, actor: Actor, spec: LaunchSpec, now: datetime, dry_run: bool = False) -> LaunchAnswer:
    """Admit a launch: the machine PENDING, its operation queued, its money reserved, the audit entry written.

    Raises what workspaces.resolve and the guards refuse, and MachineExists when the directory user has a machine.
    """
    if dry_run:
        resolved = resolve_launch(actor=actor, spec=spec, now=now)
        return LaunchAnswer(None, None, _figures(resolved, dry_run=True))
    return with_repairs(lambda: _admit(actor=actor, spec=spec, now=now))


def ask_guards(intent: Intent, *, dry_run: bool) -> dict[str, Any]:
    """Ask every launch guard in order; the figures that they return, merged."""
    figures: dict[str, Any] = {}
    for answer in ports.call_all("FORGE_LAUNCH_GUARDS", intent, dry_run=dry_run):
        figures |= answer
    return figures


def _figures(resolved: Launch, *, dry_run: bool) -> dict[str, Any]:
    """What the guards answer, and why the machine stands in its region."""
    return {**ask_guards(resolved.intent, dry_run=dry_run), "region_choice": resolved.region_choice.answer}


def lock_scopes_of_intent(intent: Intent) -> None:
    """Take the scope rows of an intent, the first locks of its transaction."""
    lock_scopes(
        user_ids=[intent.owner.id],
        team_ids=[intent.team.id],
        project_ids=[intent.project.id if intent.project else None],
        organization_ids=[intent.organization.id],
    )


def with_repairs(admit: Callable[[], Answer]) -> Answer:
    """Run `admit` in a transaction; when a guard asks for a repair, roll back, repair and try once more."""
    try:
        with transaction.atomic():
            return admit()
    except RepairFirst as request:
        request.repair()
    with transaction.atomic():
        return admit()


def _admit(*, actor: Actor, spec: LaunchSpec, now: datetime) -> LaunchAnswer:
    resolved = resolve_launch(actor=actor, spec=spec, now=now)
    intent = resolved.intent
    lock_scopes_of_intent(intent)
    figures = _figures(resolved, dry_run=False)
    exists = MachineExists(
        "Another launch for the same person was faster.", extra={"directory_user": resolved.place.directory_user}
    )
    with refusing({"workspaces_workspace_one_per_directory_user": exists}):
        workspace = WorkSpace.objects.create(**_columns(resolved))
    record_change(workspace=workspace, source=None, occurred_at=now, reason="launch requested", actor=actor)
    operation = enqueue(
        id=intent.operation_id,
        organization_id=intent.organization.id,
        actor_id=actor.user_id,
        kind="workspace.launch",
        target_type="WorkSpace",
        target_id=workspace.id,
        spec=_spec_as_stored(spec),
        correlation_id=actor.correlation_id,
        now=now,
        owner_id=intent.owner.id,
        team_id=intent.team.id,
        deadline_at=now + LAUNCH_PROMISE,
    )
    record(
        actor=actor,
        action=actions.WORKSPACE_PROVISION,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Launch of machine {workspace.id}",
        changes={"before": None, "after": intent.facts},
        occurred_at=now,
    )
    return LaunchAnswer(workspace, operation, figures)


def _columns(resolved: Launch) -> dict[str, Any]:
    intent, spec, account = resolved.intent, resolved.spec, resolved.provider_account
    return {
        "id": intent.workspace_id,
        "organization": intent.organization,
        "owner": intent.owner,
        "team": intent.team,
        "project": intent.project,
        "name": spec.name or f"{_first_name(resolved)}-{str(intent.workspace_id)[-6:]}",
        "service_type": spec.service_type,
        "bundle_type": intent.bundle_type,
        "operating_system": intent.operating_system,
        "running_mode": intent.running_mode,
        "blueprint": intent.blueprint,
        "application_ids": list(spec.application_ids),
        "root_volume_gb": intent.root_volume_gb,
        "user_volume_gb": intent.user_volume_gb,
        "state": State.PENDING,
        "state_since": intent.now,
        "created_at": intent.now,
        "provider_account": account,
        "aws_account": account.account,
        "directory_id": resolved.place.directory_id,
        "directory_user": resolved.place.directory_user,
        "region": intent.region,
        "auto_stop_timeout_minutes": spec.auto_stop_timeout_minutes,
        "max_lifetime_days": spec.max_lifetime_days,
        "next_action": "terminate",
        "next_action_at": intent.lifetime_end,
        "tags": spec.tags,
    }


def _first_name(resolved: Launch) -> str:
    """What a machine is called after, before the digits: its user in the directory, or what comes before the @."""
    return resolved.place.directory_user.partition("@")[0]


def _spec_as_stored(spec: LaunchSpec) -> dict[str, Any]:
    stored = asdict(spec)
    stored["blueprint_id"] = str(spec.blueprint_id) if spec.blueprint_id else None
    stored["application_ids"] = list(spec.application_ids)
    stored.pop("owner")  # the machine knows its owner by id; the operation carries no addresses
    return stored
