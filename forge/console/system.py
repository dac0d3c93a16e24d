"""The System page: whether the installation is well and how to mend what is not, how far it lags, what its jobs did."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from audit.sealing import seals
from costs import metering
from costs.standing import standing as price_standing
from forge.console import queues, switches
from forge.console.doctor import MENDS
from forge.console.health import Finding, run_checks
from forge.db import partitions
from forge.db.jobs import FREE, last_runs
from forge.db.models import JobRun, JobSwitch
from forge.schedule import SLOTS


@dataclass(frozen=True)
class Job:
    """One entry of the schedule with its newest run; `switch` is the one that there is for all, on or off.

    It ticks `every` so often, and is to succeed once in a `slot`.

    `own` is that of the organization of whoever looks, where the job has one: admins set it, operators that for all.
    """

    name: str
    every: timedelta
    slot: timedelta
    run: JobRun | None
    switch: JobSwitch | None
    own: JobSwitch | None = None
    organization_id: UUID | None = None

    @property
    def is_paused(self) -> bool:
        return self.switch is not None and self.switch.is_paused

    @property
    def is_switchable(self) -> bool:
        """Whether those who may pause jobs there may pause this one."""
        return self.organization_id is None or self.name in switches.BY_ORGANIZATION

    @property
    def mine(self) -> JobSwitch | None:
        """The switch that is theirs."""
        return self.switch if self.organization_id is None else self.own

    @property
    def due_at(self) -> datetime | None:
        """When its next slot begins; one that is free still is taken by the next tick. None before its first tick."""
        if self.run is None:
            return None
        return self.run.started_at + self.every if self.run.outcome in FREE else self.run.slot + self.slot

    @property
    def rhythm(self) -> str:
        """How often it ticks."""
        return _in_words(self.every)

    @property
    def took(self) -> str:
        """How long its newest run took; empty while it goes on."""
        if self.run is None or self.run.finished_at is None:
            return ""
        return f"{(self.run.finished_at - self.run.started_at).total_seconds():.1f} s"

    @property
    def state(self) -> str:
        if self.is_paused:
            return "paused"
        return self.run.outcome if self.run else "not yet"

    @property
    def label(self) -> str:
        if self.is_paused:
            return "warning"
        outcome = self.run.outcome if self.run else None
        return {"SUCCEEDED": "success", "FAILED": "danger", "LOST": "danger", None: "default"}.get(outcome, "info")

    @property
    def why(self) -> str:
        """Why it did not run, in words; empty when it did."""
        if self.is_paused:
            return "Its switch is off: its slots pass unused."
        if self.own is not None and self.own.is_paused:
            return f"It leaves your organization alone, which has paused it. {self.own.reason}".strip()
        if self.run is None:
            return f"Its first slot has not come: it runs every {self.rhythm}."
        return {
            JobRun.Outcome.PAUSED: "Its slot passed while it was paused.",
            JobRun.Outcome.LOST: "Its worker went away; the next tick takes the slot again.",
            JobRun.Outcome.FAILED: "It failed; the next tick takes the slot again.",
        }.get(JobRun.Outcome(self.run.outcome), "")

    @property
    def switch_page(self) -> str:
        """Where its switch is set."""
        if self.mine is not None:
            return reverse("admin:db_jobswitch_change", args=[self.mine.pk])
        return f"{reverse('admin:db_jobswitch_add')}?{urlencode({'job': self.name})}"


def may_see_system(user: Any) -> bool:
    """Operators of the installation, and the admins and auditors of its organizations."""
    return user.is_operator or user.has_role("admin", "auditor")


@require_safe
def system_page(request: HttpRequest, site_context: dict[str, Any]) -> HttpResponse:
    """Findings of /readyz and the jobs of the schedule; what a job did, for all organizations, for operators alone."""
    if not may_see_system(request.user):
        raise PermissionDenied
    now = timezone.now()
    context = site_context | {
        "title": "System",
        "findings": [
            (name, _shown(finding), finding, MENDS[name] if finding.status != "ok" else "")
            for name, finding in run_checks().items()
        ],
        "lags": _lags(now),
        "queues": queues.depths(),
        "partitions": partitions.check(now, using="default"),
        "jobs": jobs(request.user.organization_id, now=now),
        "versions": _versions(),
        "tells_all": request.user.is_operator,
        "may_switch": switches.may_switch(request.actor, request.user.organization_id),  # type: ignore[attr-defined]
    }
    return TemplateResponse(request, "console/system.html", context)


def jobs(organization_id: UUID | None = None, *, now: datetime) -> list[Job]:
    """Every job of the schedule by name, with those that ran but are no longer scheduled left out.

    For somebody of that organization, or None for operators of the installation.
    """
    runs = {run.job: run for run in last_runs()}
    rows = JobSwitch.objects.filter(Q(organization_id=None) | Q(organization_id=organization_id))
    found = {(row.job, row.organization_id): row for row in rows}
    ticks = {name: timedelta(seconds=entry["schedule"]) for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}
    return [
        Job(
            name,
            every,
            timedelta(seconds=SLOTS[name]) if name in SLOTS else every,
            runs.get(name),
            found.get((name, None)),
            found.get((name, organization_id)) if organization_id else None,
            organization_id,
        )
        for name, every in sorted(ticks.items())
    ]


def paused_jobs(user: Any) -> list[JobSwitch]:
    """The switches that are off for all, or for the person's organization: every page tells of them."""
    paused = JobSwitch.objects.filter(Q(organization_id=None) | Q(organization_id=user.organization_id), is_paused=True)
    return list(paused.order_by("job"))


def _lags(now: datetime) -> list[tuple[str, str]]:
    sealed, prices = seals.status(), price_standing(now)
    return [
        ("Sealing is behind by", f"{sealed.lag.total_seconds():.0f} s"),
        ("Entries that wait for their seal", f"{sealed.waiting:,}"),
        ("Metering is behind by", f"{metering.lag(now).total_seconds():.0f} s"),
        ("Oldest price in use was read", f"{prices.oldest.days} days ago"),
    ]


def _versions() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (postgresql,) = cursor.fetchone()
    return [
        ("API", settings.SPECTACULAR_SETTINGS["VERSION"]),
        ("Python", platform.python_version()),
        ("Django", django.get_version()),
        ("Celery", version("celery")),
        ("PostgreSQL", postgresql),
    ]


def _shown(finding: Finding) -> str:
    return {"ok": "success", "degraded": "warning"}.get(finding.status, "danger")


def _in_words(every: timedelta) -> str:
    seconds = int(every.total_seconds())
    return f"{seconds // 60} minutes" if seconds % 60 == 0 and seconds > 60 else f"{seconds} seconds"
