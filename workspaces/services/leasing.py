"""Work leases: a machine that works for somebody is not stopped for idleness until a time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Refused
from workspaces import actions
from workspaces.autostop import held_in_aws_until
from workspaces.lifecycle import State
from workspaces.models import WorkLease, WorkSpace
from workspaces.rules.ceilings import ceilings_of
from workspaces.rules.reckoning import apply, facts_of
from workspaces.services.calling_off import call_off_automatic, refuse_while_under_way
from workspaces.services.control import take


class LeaseOutOfRange(Refused):
    code = "lease_out_of_range"
    title = "The end of the lease does not fit"


@dataclass(frozen=True)
class Leased:
    """A lease, and the time at which its machine is stopped in any case (None = it does not run)."""

    lease: WorkLease
    workspace: WorkSpace
    hard_deadline: datetime | None

    @property
    def held_in_aws_until(self) -> datetime:
        """Until when AWS's own AutoStop does not stop it either, if nobody connects meanwhile."""
        if self.workspace.running_mode != WorkSpace.RunningMode.AUTO_STOP:
            return self.lease.until
        return held_in_aws_until(self.workspace.auto_stop_timeout_minutes, self.lease)

    @property
    def holds_until(self) -> datetime:
        """Until when it keeps the machine from being stopped."""
        return min(self.lease.until, self.hard_deadline or self.lease.until)


def lease(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    until: datetime,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> Leased:
    """Keep a machine from being stopped for idleness until a time; its lifetime and the longest run hold all the same.

    AWS's own AutoStop is made to wait for it too by the next reconcile, up to 48 hours (`workspaces.autostop`).

    An automatic stop that is queued is called off with it. Raises LeaseOutOfRange beyond the smallest ceiling,
    StopUnderWay, and what `start` raises but for OperationInProgress.
    """
    with transaction.atomic():
        call_off_automatic("stop", of="lease", actor=actor, workspace_id=workspace_id, now=now)
        workspace = take(actor=actor, workspace_id=workspace_id, action="lease", if_match=if_match, exclusive=False)
        refuse_while_under_way("stop", workspace)
        ceiling = ceilings_of([workspace])[workspace.id].lease
        if not now < until <= now + ceiling.value:
            hours = int(ceiling.value.total_seconds() // 3600)
            raise LeaseOutOfRange(
                f"`until` must lie in the future, at most {hours} hours ahead ({ceiling.source}).",
                extra={"until": until, "after": now, "latest": now + ceiling.value, "ceiling": ceiling.source},
            )
        made = WorkLease.objects.create(
            organization_id=workspace.organization_id,
            workspace=workspace,
            until=until,
            reason=reason,
            created_by=actor.user,
            created_at=now,
        )
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        apply([workspace], now=now)
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_LEASE,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Work lease on machine {workspace.id}",
            changes={
                "before": None,
                "after": {"lease_id": str(made.id), "until": until.isoformat(), "reason": reason},
            },
            occurred_at=now,
        )
    facts = facts_of([workspace], now=now)[workspace.id]
    runs = facts.is_auto_stop and workspace.state == State.AVAILABLE
    return Leased(made, workspace, facts.hard_deadline if runs else None)
