"""Carrying out a modification: ask AWS, look until it shows what was asked, and only then change the machine's row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.db import ports
from forge.operations.claims import Claim
from forge.operations.models import Operation
from workspaces import actions, aws
from workspaces.handlers.asking import MOST_ASKS, AskingHandler
from workspaces.handlers.common import times
from workspaces.models import WorkSpace
from workspaces.transitions import lock_machine

NO_EFFECT = "no_effect"


class Modify(AskingHandler):
    """What was reserved for the change is given back when it does not come about; the row is then as it was."""

    outcome_action = actions.WORKSPACE_MODIFY_OUTCOME
    action = "modify"

    def proceed(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        claim.step("look", progress=10)
        seen = self.look(claim, workspace, gateway)
        if seen is None or seen.state == "TERMINATED":
            self.vanished(claim, workspace)
            return
        self.show(claim, workspace, seen)
        if seen.modifying:
            claim.step("changing", list(seen.modifying), progress=60)
            self.poll_later(claim)
        elif shows(seen, wanted_in_aws(claim.operation, workspace)):
            self._arrived(claim, workspace, seen)
        elif self.is_watched(claim):
            self.poll_later(claim)
        elif times(claim, "taken") >= MOST_ASKS:
            detail = f"AWS took the request {MOST_ASKS} times, and the machine is as before"
            with self.finishing(claim, workspace) as locked:
                self.fail(claim, locked, code=NO_EFFECT, detail=detail)
        else:
            self.request(claim, workspace, gateway)

    def ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        gateway.modify(workspace.provider_id, wanted_in_aws(claim.operation, workspace))

    def fail(self, claim: Claim, workspace: WorkSpace, *, code: str, detail: str) -> None:
        _undo(claim.operation)
        super().fail(claim, workspace, code=code, detail=detail)

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        lock_machine(operation.target_id)
        _undo(operation)
        super().cancel(operation, actor=actor, now=now)

    def _arrived(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine) -> None:
        with self.finishing(claim, workspace) as locked:
            after = claim.operation.spec["after"]
            for name, value in after.items():
                setattr(locked, name, value)
            locked.configured_at = claim.now()
            locked.save(update_fields=[*after, "configured_at", "updated_at"])
            ports.call_all("FORGE_CHANGE_HOOKS", workspace=locked, now=claim.now())
            self.follow(claim, locked, seen)
            self.succeed(claim, locked)


def wanted_in_aws(operation: Operation, workspace: WorkSpace) -> dict[str, Any]:
    """What AWS is asked for: an AlwaysOn machine has no AutoStop time there, so its own goes with the mode."""
    after = operation.spec["after"]
    own = {"auto_stop_timeout_minutes": workspace.auto_stop_timeout_minutes}
    return {**own, **after} if after.get("running_mode") == "AUTO_STOP" else after


def shows(seen: aws.Machine, wanted: Mapping[str, Any]) -> bool:
    """Whether AWS shows every field of `wanted`; it counts AutoStop times in whole hours."""
    shown = {
        "bundle_type": seen.bundle_type,
        "running_mode": seen.running_mode,
        "auto_stop_timeout_minutes": seen.auto_stop_minutes,
        "root_volume_gb": seen.root_volume_gb,
        "user_volume_gb": seen.user_volume_gb,
    }
    minutes = wanted.get("auto_stop_timeout_minutes")
    expected = {**wanted, "auto_stop_timeout_minutes": aws.auto_stop_step(minutes)} if minutes else wanted
    return all(shown[name] == value for name, value in expected.items())


def _undo(operation: Operation) -> None:
    """Comes before the audit entry, whose lane is the last of the locks."""
    held = operation.spec.get("held") or {}
    if held:
        ports.call_all("FORGE_UNDO_HOOKS", workspace_id=operation.target_id, held=held)
