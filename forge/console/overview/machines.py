"""Machines and operations of the overview."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q

from forge.console.links import address
from forge.console.overview.figures import Figure
from forge.operations.models import Operation
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import Finding, WorkSpace

DAY = timedelta(hours=24)
LAUNCH = "workspace.launch"
Status = Operation.Status


def states(user: Any) -> list[tuple[str, int, str]]:
    """Each state of a live machine: its name, how many there are, and their list."""
    live = WorkSpace.objects.visible_to(user).filter(state__in=LIVE_STATES)
    counts = dict(live.order_by().values_list("state").annotate(Count("id")))
    return [
        (state.label, counts.get(state, 0), address("workspaces.workspace", state__exact=state))
        for state in LIVE_STATES
    ]


def launches(user: Any, now: datetime) -> Iterator[Figure]:
    """Launches of the last 24 hours, those that failed, and what goes on now."""
    since = (now - DAY).replace(microsecond=0)
    seen = Operation.objects.visible_to(user)
    counts = seen.filter(kind=LAUNCH, created_at__gte=since).aggregate(
        all=Count("id"), failed=Count("id", filter=Q(status=Status.FAILED))
    )
    going_on = seen.open().aggregate(all=Count("id"), waiting=Count("id", filter=Q(status=Status.WAITING)))
    listed = {"kind": LAUNCH, "created_at__gte": f"{since:%Y-%m-%d %H:%M:%S}+00:00"}
    yield Figure(
        "Launches in 24 hours",
        str(counts["all"]),
        "asked for by people and by Lucy",
        address("operations.operation", **listed),
    )
    yield Figure(
        "Failed launches in 24 hours",
        str(counts["failed"]),
        "of them",
        address("operations.operation", **listed, status__exact=Status.FAILED),
        is_alarm=bool(counts["failed"]),
    )
    yield Figure(
        "Under way",
        str(going_on["all"]),
        f"operations that have not ended; {going_on['waiting']} wait for somebody",
        address("operations.operation", open="yes"),
    )


def findings(user: Any) -> Figure:
    """Security findings that stand."""
    count = Finding.objects.visible_to(user).open().count()
    return Figure(
        "Security findings",
        str(count),
        "that stand on machines and directories",
        address("workspaces.finding", resolved_at__isempty=1),
        is_alarm=bool(count),
    )
