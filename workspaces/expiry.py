"""Ending machines whose agreed lifetime is over, unless they are kept alive."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from audit.actors import Actor
from forge.operations.models import Operation
from workspaces.lifecycle import ACTIONS
from workspaces.models import WorkSpace
from workspaces.services.control import IllegalInThisState, OperationInProgress, terminate

AT_MOST = 50
"""A run ends no more machines than this, so that a wrong clock or setting is seen before it does much harm."""


def end_expired(*, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Queue the end of machines whose `next_action` is due: {due, ended, passed_over}.

    A machine that is kept alive, or that something else is being done to, takes nobody's place in the run and is
    looked at again by the next one.
    """
    busy = Operation.objects.open().filter(target_id=OuterRef("pk"))
    kept = Q(keep_alive=True) & (Q(keep_alive_until__isnull=True) | Q(keep_alive_until__gt=now))
    due = list(
        WorkSpace.objects.filter(state__in=ACTIONS["terminate"], next_action="terminate", next_action_at__lte=now)
        .exclude(kept)
        .exclude(Exists(busy))
        .exclude(provider_id="")
        .order_by("next_action_at", "id")
        .values_list("id", "organization_id")[:AT_MOST]
    )
    figures = {"due": len(due), "ended": 0, "passed_over": 0}
    for workspace_id, organization_id in [] if dry_run else due:
        try:
            terminate(actor=Actor.job("enforce_lifecycle", organization_id), workspace_id=workspace_id, now=now)
        except (IllegalInThisState, OperationInProgress):
            figures["passed_over"] += 1
        else:
            figures["ended"] += 1
    return figures
