"""Giving a machine other tags: its row changes at once, and an operation brings AWS after."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.db.ids import uuid7
from forge.operations.models import Operation
from workspaces import actions
from workspaces.busy import TAG_KIND
from workspaces.models import WorkSpace
from workspaces.services.control import queue, take
from workspaces.tagging.wanted import check_own

TAG_PROMISE = timedelta(minutes=10)


@dataclass(frozen=True)
class Tagged:
    """A machine with its new tags, and the operation that writes them in AWS; None where AWS takes none of it."""

    workspace: WorkSpace
    operation: Operation | None


def tag(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    tags: Mapping[str, str],
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> Tagged:
    """Give a machine these tags of people in place of those that it has.

    Its cost records bear them from the next hour on.

    Asking for the same tags again has AWS looked at and mended. A right to stream (WorkSpaces Applications) is nothing
    that AWS can tag: only its row and its cost records have them, and the same tags again change nothing. Raises what
    workspaces.tagging.wanted.check_own refuses, and what `start` raises but for OperationInProgress.
    """
    check_own(tags)
    with transaction.atomic():
        workspace = take(actor=actor, workspace_id=workspace_id, action="tag", if_match=if_match, exclusive=False)
        before, after = dict(workspace.tags), dict(tags)
        if before == after and not workspace.capabilities.takes_tags:
            return Tagged(workspace, None)
        if before != after:
            workspace.tags, workspace.attributed_at = after, now
            workspace.save(update_fields=["tags", "attributed_at", "updated_at"])
            changes = {"before": _told(before), "after": _told(after)}
        else:
            changes = {"before": {"operation": None}, "after": {"operation": TAG_KIND}}
        if workspace.capabilities.takes_tags:
            operation = queue(
                workspace,
                actor=actor,
                verb="tag",
                audit_action=actions.WORKSPACE_TAG,
                operation_id=uuid7(),
                now=now,
                promise=TAG_PROMISE,
                changes=changes,
            )
            return Tagged(workspace, operation)
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_TAG,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Tags of machine {workspace.id}",
            changes=changes,
            occurred_at=now,
        )
    return Tagged(workspace, None)


def _told(tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as the audit log has them: people write what they like into values, so those are text that can be erased."""
    return {"keys": sorted(tags), "tags": json.dumps(tags, sort_keys=True, ensure_ascii=False)}
