"""Pausing a job of the schedule, and letting it go on."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.accounts.models import Organization
from forge.api.errors import Denied, NotFound, Refused
from forge.console import actions
from forge.db.models import JobSwitch
from workspaces.rules import pausing

BY_ORGANIZATION = (pausing.JOB,)
"""The jobs that ask for each organization whether it is paused there; the others work for all at once."""


class UnknownJob(Refused):
    code = "unknown_job"
    title = "The schedule has no such job"


class MayNotSwitchJobs(Denied):
    code = "may_not_switch_jobs"
    title = "Operators pause jobs for the whole installation, and admins for their organization"


class JobIsForAll(Refused):
    code = "job_is_for_all"
    title = "The job works for the whole installation at once, so one organization cannot pause it"


def set_switch(
    *, actor: Actor, job: str, is_paused: bool, reason: str, now: datetime, organization_id: UUID | None = None
) -> JobSwitch:
    """Pause `job` from its next slot on, or let it run again; a run under way goes on, but for that of the lifecycle's
    rules, which hear of it at the next machine.

    Without `organization_id` for the whole installation: for its operators and the command line. With one for that
    organization alone, for its admins too, where the job asks for each (BY_ORGANIZATION). A pause for all holds in
    every organization, whatever its own switch says. Raises MayNotSwitchJobs; UnknownJob, with the names that the
    schedule has; JobIsForAll; NotFound for no organization.
    """
    if not may_switch(actor, organization_id):
        raise MayNotSwitchJobs()
    if job not in settings.CELERY_BEAT_SCHEDULE:
        raise UnknownJob(f"There is no job {job!r}.", extra={"jobs": sorted(settings.CELERY_BEAT_SCHEDULE)})
    if organization_id is not None and job not in BY_ORGANIZATION:
        raise JobIsForAll(
            f"One organization pauses {', '.join(BY_ORGANIZATION)} alone.", extra={"jobs": [*BY_ORGANIZATION]}
        )
    with transaction.atomic():
        if organization_id is not None and not Organization.objects.filter(pk=organization_id).exists():
            raise NotFound("No such organization.")
        one = {"job": job, "organization_id": organization_id}
        JobSwitch.objects.bulk_create([JobSwitch(is_paused=False, **one)], ignore_conflicts=True)
        switch = JobSwitch.objects.select_for_update(no_key=True).get(**one)
        where = " in one organization" if organization_id else ""
        before = _state(switch)
        switch.is_paused, switch.reason, switch.updated_at = is_paused, reason, now
        switch.save(update_fields=["is_paused", "reason", "updated_at"])
        record(
            actor=actor.in_organization(organization_id) if organization_id else actor,
            action=actions.JOB_SWITCH,
            description=f"Job {job} {'paused' if is_paused else 'switched on'}{where}",
            resource_type="job",
            resource_id=job,
            changes={"before": before, "after": _state(switch)},
            occurred_at=now,
        )
    return switch


def may_switch(actor: Actor, organization_id: UUID | None) -> bool:
    """Whether the actor pauses jobs there, None for the whole installation."""
    if actor.kind == Kind.COMMAND:
        return True
    user = actor.user
    if user is None or user.is_operator:
        return user is not None
    return organization_id is not None and user.organization_id == organization_id and user.has_role("admin")


def _state(switch: JobSwitch) -> dict[str, Any]:
    return {"is_paused": switch.is_paused, "reason": switch.reason}
