"""The same for many machines: one operation, of which each machine's own is a part."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import User
from forge.api.errors import Problem, Refused
from forge.db.ids import uuid7
from forge.operations.models import Operation
from forge.operations.services import enqueue
from workspaces import actions
from workspaces.busy import under_way
from workspaces.models import WorkSpace
from workspaces.permissions import MayNotControl
from workspaces.services.control import in_progress, require_legal, require_may
from workspaces.services.mending import REBUILD_PROMISE

VERBS = ("start", "stop", "reboot", "terminate")
"""What AWS takes for many machines in one call."""

MOST = 500
"""Machines of one bulk operation."""

NOT_FOUND = {"code": "not_found", "detail": "There is no such machine here."}


class NothingToDo(Refused):
    code = "nothing_to_do"
    title = "None of the machines allows this"
    suggested_action = "See in `items` what stands in the way of each."
    advice = "See on the page of each machine what stands in its way."


@dataclass(frozen=True)
class BulkAnswer:
    """What each machine comes to, in the order asked for; no operation on a dry run.

    An item has `id`, `accepted`, and where it is refused the `code` and `detail` that the single request would have.
    """

    operation: Operation | None
    items: list[dict[str, Any]]

    @property
    def counts(self) -> dict[str, int]:
        """How many are accepted, and how many refused."""
        accepted = sum(item["accepted"] for item in self.items)
        return {"accepted": accepted, "refused": len(self.items) - accepted}


def bulk(
    *, actor: Actor, verb: str, workspace_ids: Sequence[uuid.UUID], now: datetime, dry_run: bool = False
) -> BulkAnswer:
    """Queue `verb`, one of VERBS, for up to MOST machines; whatever stands in the way of one keeps no other from it.

    Here permissions, states and open operations are looked at without locks, for the answer. A worker then asks for
    each accepted machine as its owner would, one transaction each, with locks, guards and an audit entry: what has come
    between refuses that machine, with its code in the operation's result. When all are refused it raises NothingToDo,
    or MayNotControl if that is because of the role.
    """
    ids = list(dict.fromkeys(workspace_ids))
    if verb not in VERBS or not 0 < len(ids) <= MOST:
        raise ValueError(f"{verb!r} of {len(ids)} machines")
    answer = BulkAnswer(None, _judged(actor=actor, verb=verb, ids=ids))
    if dry_run:
        return answer
    accepted = [item["id"] for item in answer.items if item["accepted"]]
    if not accepted:
        is_denied = all(item["code"] == MayNotControl.code for item in answer.items)
        refusal = MayNotControl if is_denied else NothingToDo
        raise refusal(f"None of {len(ids)} machines: you cannot {verb} them now.", extra={"items": answer.items})
    organization_id = actor.user.organization_id
    with transaction.atomic():
        operation = enqueue(
            id=uuid7(),
            organization_id=organization_id,
            actor_id=actor.user_id,
            kind="workspace.bulk",
            target_type="Organization",
            target_id=organization_id,
            spec={"action": verb, "ids": accepted},
            correlation_id=actor.correlation_id,
            now=now,
            owner_id=actor.user_id,
            deadline_at=now + REBUILD_PROMISE,
        )
        record(
            actor=actor.in_organization(organization_id),
            action=actions.WORKSPACE_BULK,
            resource_type="Operation",
            resource_id=str(operation.id),
            description=f"Request to {verb} {len(accepted)} machines",
            changes={"before": None, "after": {"action": verb, "machines": len(accepted)}},
            context={"workspace_ids": accepted, "refused": dict(_codes(answer.items))},
            occurred_at=now,
        )
    return BulkAnswer(operation, answer.items)


def _judged(*, actor: Actor, verb: str, ids: Sequence[uuid.UUID]) -> list[dict[str, Any]]:
    user = actor.user
    if not isinstance(user, User):
        raise TypeError("a bulk operation is a person's")
    machines = {machine.id: machine for machine in WorkSpace.objects.visible_to(user).filter(id__in=ids)}
    busy = {
        target: (operation_id, kind)
        for target, operation_id, kind in under_way()
        .filter(target_id__in=machines)
        .values_list("target_id", "id", "kind")
    }
    return [_item(one, machines.get(one), busy.get(one), actor=actor, verb=verb) for one in ids]


def _item(
    workspace_id: uuid.UUID,
    machine: WorkSpace | None,
    active: tuple[uuid.UUID, str] | None,
    *,
    actor: Actor,
    verb: str,
) -> dict[str, Any]:
    item: dict[str, Any] = {"id": str(workspace_id), "accepted": False}
    if machine is None:
        return item | NOT_FOUND
    try:
        require_may(actor, verb, machine)
        require_legal(verb, machine)
        is_launch_called_off = verb == "terminate" and active is not None and active[1] == "workspace.launch"
        if active is not None and not is_launch_called_off:
            raise in_progress(*active)
    except Problem as problem:
        return item | {"code": problem.code, "detail": problem.detail}
    return item | {"accepted": True}


def _codes(items: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(item["code"] for item in items if not item["accepted"])
