"""The System page: whether the installation is well, and what its jobs did last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from forge.console.health import Finding, run_checks
from forge.db.jobs import last_runs
from forge.db.models import JobRun, JobSwitch


@dataclass(frozen=True)
class Job:
    """One entry of the schedule with its newest run; `switch` is the one that pauses it, if any."""

    name: str
    every: timedelta
    run: JobRun | None
    switch: JobSwitch | None

    @property
    def due_at(self) -> datetime | None:
        """When its next slot begins; None before its first run."""
        return self.run.slot + self.every if self.run else None

    @property
    def label(self) -> str:
        if self.switch is not None:
            return "warning"
        outcome = self.run.outcome if self.run else None
        return {"SUCCEEDED": "success", "FAILED": "danger", "LOST": "danger", None: "default"}.get(outcome, "info")


def may_see_system(user: Any) -> bool:
    """Operators of the installation, and the admins and auditors of its organizations."""
    return user.is_operator or user.has_role("admin", "auditor")


@require_safe
def system_page(request: HttpRequest, site_context: dict[str, Any]) -> HttpResponse:
    """Findings of /readyz and the jobs of the schedule; what a job did, for all organizations, for operators alone."""
    if not may_see_system(request.user):
        raise PermissionDenied
    context = site_context | {
        "title": "System",
        "findings": [(name, _shown(finding), finding) for name, finding in run_checks().items()],
        "jobs": jobs(),
        "tells_all": request.user.is_operator,
    }
    return TemplateResponse(request, "console/system.html", context)


def jobs() -> list[Job]:
    """Every job of the schedule by name, with those that ran but are no longer scheduled left out."""
    runs = {run.job: run for run in last_runs()}
    switches = {switch.job: switch for switch in JobSwitch.objects.filter(is_paused=True, organization_id=None)}
    return [
        Job(name, timedelta(seconds=float(entry["schedule"])), runs.get(name), switches.get(name))
        for name, entry in sorted(settings.CELERY_BEAT_SCHEDULE.items())
    ]


def _shown(finding: Finding) -> str:
    return {"ok": "success", "degraded": "warning"}.get(finding.status, "danger")
