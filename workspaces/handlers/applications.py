"""Carrying out launches of WorkSpaces Applications: a person is given the right to use a stack.

The steps are those of every launch. What differs is that AWS keeps no tags on such a right and has it once at most, so
one that is there already is the one that was asked for, and that its address is Forge's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from forge.operations.claims import Claim
from workspaces import aws
from workspaces.handlers.launching import Launch
from workspaces.models import WorkSpace


class LaunchOfApplications(Launch):
    @staticmethod
    def _is_ours(claim: Claim, found: aws.Machine, gateway: Any, *, asked_before: datetime | None) -> bool:  # noqa: ARG004
        """Always: the right belongs to the person, whoever gave it, and no other live machine here stands for it."""
        return True

    @staticmethod
    def _wanted(claim: Claim, workspace: WorkSpace) -> aws.NewMachine:
        return aws.NewMachine(
            directory_id=workspace.directory_id,
            user_name=workspace.directory_user,
            bundle_id="",
            bundle_type=workspace.bundle_type,
            running_mode=workspace.running_mode,
            auto_stop_minutes=workspace.auto_stop_timeout_minutes,
            operation_id=str(claim.operation.id),
            workspace_id=str(workspace.id),
        )

    @staticmethod
    def _address(workspace: WorkSpace, gateway: Any) -> str | None:  # noqa: ARG004
        """Where a streaming URL is made when somebody wants one: AWS's own are good for a minute or two."""
        return f"/api/v1/workspaces/{workspace.id}/connect/"
