"""The page of a project: its cost centers from change to change, and the machines that are charged to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from costs.attribution import CostCenterChange
from forge.accounts.models import Project
from forge.adminkit.timelines import Event
from forge.console.pages.audit import audit_tab
from workspaces.models import WorkSpace

MOST_CENTERS = 40


def project_page(request: Any, project: Project, now: datetime, opens: Callable[[str], bool]) -> dict[str, Any]:
    """Template context."""
    machines = WorkSpace.objects.visible_to(request.user).live().filter(project=project)
    return {
        "template": "console/project.html",
        "project": project,
        "machines": machines.count(),
        "events": list(_centers(project)),
        "audit": audit_tab(project.pk, request.user, opens),
    }


def _centers(project: Project) -> Iterator[Event]:
    """Each change of the cost center, the newest first."""
    becomes = project.cost_center
    for change in CostCenterChange.objects.filter(project=project).order_by("-occurred_at", "-id")[:MOST_CENTERS]:
        told = f"{change.cost_center or 'none'} → {becomes or 'none'}"
        yield Event(change.occurred_at, "sell", "Cost center", told, "for hours that begin from then on")
        becomes = change.cost_center
