"""Keeping a machine alive against the rules that would end it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Refused
from workspaces import actions
from workspaces.models import WorkSpace
from workspaces.rules.ceilings import ceilings_of
from workspaces.rules.price import monthly_price
from workspaces.rules.reckoning import apply
from workspaces.services.calling_off import call_off_automatic, refuse_while_under_way
from workspaces.services.control import take


class KeepAliveOutOfRange(Refused):
    code = "keep_alive_out_of_range"
    title = "The end of the keep-alive does not fit"


def keep_alive(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    until: datetime | None,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> WorkSpace:
    """Protect a machine from automatic ends until a time (None = take the protection away).

    Taken away, the machine is left until its people were warned of the end for the whole time, whatever its lifetime.

    The audit entry says what that costs each month, as the price book has it now.

    An automatic end that is queued is called off with it, and a machine that was flagged as stale no longer is.
    Raises KeepAliveOutOfRange beyond the smallest ceiling, UnderWay (past the point of no return, or a person asked
    for the end), and what `start` raises but for OperationInProgress.
    """
    with transaction.atomic():
        if until is not None:
            call_off_automatic("terminate", of="keep-alive", actor=actor, workspace_id=workspace_id, now=now)
        workspace = take(
            actor=actor, workspace_id=workspace_id, action="keep-alive", if_match=if_match, exclusive=False
        )
        hold(workspace, actor=actor, until=until, reason=reason, now=now)
    return workspace


def hold(
    workspace: WorkSpace,
    *,
    actor: Actor,
    until: datetime | None,
    reason: str,
    now: datetime,
    granted_until: datetime | None = None,
) -> None:
    """What `keep_alive` does to a machine that is locked, and of which no automatic end is queued.

    It lasts at least as long as somebody was `granted` it before, whatever the ceilings say now.
    """
    if until is not None:
        require_in_range(workspace, until=until, now=now, granted_until=granted_until)
        refuse_while_under_way("terminate", workspace)
        until = max(until, granted_until or until)
    before = _facts(workspace)
    if until is None and workspace.is_kept_alive(now):
        workspace.let_go_at = now
    elif until is not None:
        workspace.let_go_at = None
    workspace.keep_alive = until is not None
    workspace.keep_alive_until = until
    workspace.keep_alive_reason = reason if until is not None else ""
    fields = ["let_go_at", "keep_alive", "keep_alive_until", "keep_alive_reason", "version", "updated_at"]
    if until is not None:
        workspace.stale_notified_at = None
        fields.append("stale_notified_at")
    workspace.version += 1
    workspace.save(update_fields=fields)
    apply([workspace], now=now)
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=actions.WORKSPACE_KEEP_ALIVE,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Keep-alive of machine {workspace.id}",
        changes={"before": before, "after": _facts(workspace)},
        context=_price(workspace, now) if until is not None else {},
        occurred_at=now,
    )


def require_in_range(
    workspace: WorkSpace, *, until: datetime, now: datetime, granted_until: datetime | None = None
) -> None:
    """Raises KeepAliveOutOfRange beyond both the smallest ceiling and what was granted before, or in the past."""
    if granted_until is not None and now < until <= granted_until:
        return
    ceiling = ceilings_of([workspace])[workspace.id].keep_alive
    if not now < until <= now + ceiling.value:
        raise KeepAliveOutOfRange(
            f"`until` must lie in the future, at most {ceiling.value.days} days ahead ({ceiling.source}).",
            extra={"until": until, "after": now, "latest": now + ceiling.value, "ceiling": ceiling.source},
        )


def _price(workspace: WorkSpace, now: datetime) -> dict[str, Any]:
    price = monthly_price(workspace, now=now)
    if price is None:
        return {"monthly_price": None}
    shown = {"amount": str(price["amount"]), **{name: price[name] for name in ("currency", "basis")}}
    return {"monthly_price": shown | {"price_id": str(price["price_id"])}}


def _facts(workspace: WorkSpace) -> dict[str, Any]:
    until = workspace.keep_alive_until
    return {
        "keep_alive": workspace.keep_alive,
        "until": until.isoformat() if until else None,
        "reason": workspace.keep_alive_reason,
    }
