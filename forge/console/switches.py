"""Pausing a job of the schedule, and letting it go on."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.api.errors import Denied, Refused
from forge.console import actions
from forge.db.models import JobSwitch


class UnknownJob(Refused):
    code = "unknown_job"
    title = "The schedule has no such job"


class MayNotSwitchJobs(Denied):
    code = "may_not_switch_jobs"
    title = "Jobs work for the whole installation, so its operators alone pause them"


def set_switch(*, actor: Actor, job: str, is_paused: bool, reason: str, now: datetime) -> JobSwitch:
    """Pause `job` for the whole installation from its next slot on, or let it run again; a run under way goes on, but
    for that of the lifecycle's rules, which hear of it at the next machine.

    For operators of the installation and the command line. Raises MayNotSwitchJobs; UnknownJob, with the names that
    the schedule has.
    """
    if actor.kind != Kind.COMMAND and not (actor.user is not None and actor.user.is_operator):
        raise MayNotSwitchJobs()
    if job not in settings.CELERY_BEAT_SCHEDULE:
        raise UnknownJob(f"There is no job {job!r}.", extra={"jobs": sorted(settings.CELERY_BEAT_SCHEDULE)})
    with transaction.atomic():
        JobSwitch.objects.bulk_create([JobSwitch(job=job, is_paused=False)], ignore_conflicts=True)
        switch = JobSwitch.objects.select_for_update(no_key=True).get(job=job, organization_id=None)
        before = _state(switch)
        switch.is_paused, switch.reason, switch.updated_at = is_paused, reason, now
        switch.save(update_fields=["is_paused", "reason", "updated_at"])
        record(
            actor=actor,
            action=actions.JOB_SWITCH,
            description=f"Job {job} {'paused' if is_paused else 'switched on'}",
            resource_type="job",
            resource_id=job,
            changes={"before": before, "after": _state(switch)},
            occurred_at=now,
        )
    return switch


def _state(switch: JobSwitch) -> dict[str, Any]:
    return {"is_paused": switch.is_paused, "reason": switch.reason}
