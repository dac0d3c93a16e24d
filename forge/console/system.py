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
from django.utils.translation import gettext, gettext_lazy, ngettext_lazy
from django.views.decorators.http import require_safe

from audit.sealing import seals
from costs import metering
from costs.standing import standing as price_standing
from forge.adminkit.times import moment
from forge.console import queues, switches
from forge.console.doctor import MENDS
from forge.console.health import Finding, run_checks
from forge.db import partitions
from forge.db.jobs import LOST_AFTER, last_runs, outcomes_to_mend
from forge.db.models import JobRun, JobSwitch
from forge.schedule import RHYTHMS, Rhythm

_OFTEN = {
    86_400: ngettext_lazy("Once a day", "Once in %(count)d days", "count"),
    3_600: ngettext_lazy("Every hour", "Every %(count)d hours", "count"),
    60: ngettext_lazy("Every minute", "Every %(count)d minutes", "count"),
    1: ngettext_lazy("Every second", "Every %(count)d seconds", "count"),
}
_WITHIN = {
    3_600: ngettext_lazy("Within an hour", "Within %(count)d hours", "count"),
    60: ngettext_lazy("Within a minute", "Within %(count)d minutes", "count"),
    1: ngettext_lazy("Within a second", "Within %(count)d seconds", "count"),
}
"""Each by the seconds of the unit that it counts."""

_MENDED = {
    JobRun.Outcome.PAUSED: gettext_lazy("It was paused; its next tick makes up for it."),
    JobRun.Outcome.LOST: gettext_lazy("Its worker went away; its next tick makes up for it."),
    JobRun.Outcome.FAILED: gettext_lazy("It failed; its next tick makes up for it."),
}
_OVER = {
    JobRun.Outcome.PAUSED: gettext_lazy("Its slot passed while it was paused."),
    JobRun.Outcome.LOST: gettext_lazy("Its worker went away; the next slot has a run of its own."),
    JobRun.Outcome.FAILED: gettext_lazy("It failed; the next slot has a run of its own."),
}
"""Why a job did not do its work: where a tick still comes in the slot, and where none does."""


@dataclass(frozen=True)
class Job:
    """One entry of the schedule with its newest run; `switch` is the one that there is for all, on or off.

    `own` is that of the organization of whoever looks, where the job has one: admins set it, operators that for all.
    """

    name: str
    rhythm: Rhythm
    now: datetime
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
    def is_off(self) -> bool:
        """Whether its ticks do nothing, because the setting that asks for its work is off."""
        return self.rhythm.setting is not None and not getattr(settings, self.rhythm.setting)

    @property
    def outcome(self) -> str | None:
        """How its newest run ended, or that it goes on; one that goes on for too long counts as lost, as for a tick."""
        if self.run is None:
            return None
        is_lost = self.run.outcome == JobRun.Outcome.RUNNING and self.run.started_at < self.now - LOST_AFTER
        return JobRun.Outcome.LOST if is_lost else JobRun.Outcome(self.run.outcome)

    @property
    def due_at(self) -> datetime | None:
        """From when on it has work again: its next slot, or the tick that makes up for its run; None before one."""
        if self.run is None:
            return None
        return self.run.started_at + self.rhythm.tick if self._is_mended else self.run.slot + self.rhythm.slot

    @property
    def due(self) -> str:
        """That time for whoever looks; for a job that has not run, within how long its first tick comes."""
        if self.is_paused or self.is_off:
            return "-"
        return moment(self.due_at, seconds=True) if self.due_at else _in_words(self.rhythm.tick, _WITHIN)

    @property
    def often(self) -> str:
        """How often it works."""
        return _in_words(self.rhythm.slot, _OFTEN)

    @property
    def _is_mended(self) -> bool:
        """Whether the next tick makes up for its newest run; where ticks are slots, that is the next slot's own run."""
        return self.rhythm.tick < self.rhythm.slot and self.outcome in outcomes_to_mend(again=self.rhythm.again)

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
        if self.is_off:
            return "off"
        return self.outcome or "not yet"

    @property
    def label(self) -> str:
        if self.is_paused:
            return "warning"
        if self.is_off:
            return "default"
        colours = {"SUCCEEDED": "success", "FAILED": "danger", "LOST": "danger", None: "default"}
        return colours.get(self.outcome, "info")

    @property
    def why(self) -> str:
        """Why it did not run, in words; empty when it did."""
        if self.is_paused:
            return gettext("Its switch is off: its slots pass unused.")
        if self.is_off:
            return gettext("It does nothing: %(setting)s is off.") % {"setting": self.rhythm.setting}
        if self.own is not None and self.own.is_paused:
            told = gettext("It leaves your organization alone, which has paused it.")
            return f"{told} {self.own.reason}".strip()
        if self.outcome is None:
            return gettext("It has not run yet.")
        if self.outcome == JobRun.Outcome.FAILED and not self.rhythm.again:
            return gettext("It failed; a slot has one run, whatever became of it, and the next slot has its own.")
        return str((_MENDED if self._is_mended else _OVER).get(self.outcome, ""))

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
    return [
        Job(
            name,
            rhythm,
            now,
            runs.get(name),
            found.get((name, None)),
            found.get((name, organization_id)) if organization_id else None,
            organization_id,
        )
        for name, rhythm in sorted(RHYTHMS.items())
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


def _in_words(length: timedelta, units: dict[int, Any]) -> str:
    """A length of whole seconds in the largest of these units that counts it without a rest."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in units if seconds % unit == 0)
    return str(units[unit] % {"count": seconds // unit})
