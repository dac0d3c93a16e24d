"""Jobs of the audit log."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from audit import sweeps
from audit.actors import Actor
from audit.archive import retention
from audit.exports import services as exports
from audit.sealing import sealer, seals
from audit.verification import job
from forge.db.jobs import run_job


@shared_task(name="audit.close_denial_counts")
def close_denial_counts() -> dict | None:
    """Write the closing entries of refused callers' minutes that are over."""
    now = timezone.now()
    return run_job(
        job=sweeps.JOB, now=now, every=timedelta(minutes=1), work=lambda: sweeps.close_denial_counts(now=now)
    )


@shared_task(name="audit.seal")
def seal() -> dict | None:
    """Seal what is new in the log and publish what is not outside yet."""
    return run_job(job=seals.JOB, now=timezone.now(), every=timedelta(seconds=5), work=lambda: sealer.seal().figures())


@shared_task(name="audit.retire_months")
def retire_months() -> dict | None:
    """Ticks hourly and works once a day, so a failed run is repeated within the hour."""
    now = timezone.now()
    return run_job(
        job=retention.JOB,
        now=now,
        every=timedelta(days=1),
        work=lambda: retention.retire_months(actor=Actor.job(retention.JOB), now=now),
    )


@shared_task(name="audit.purge_exports")
def purge_exports() -> dict | None:
    """Delete the files of exports whose days are over."""
    now = timezone.now()
    return run_job(job=exports.JOB, now=now, every=timedelta(hours=1), work=lambda: exports.purge_exports(now=now))


@shared_task(name="audit.verify")
def verify() -> dict | None:
    """Verify the log; ticks hourly and works once a day, so an undecided run is repeated within the hour."""
    now = timezone.now()
    return run_job(job=job.JOB, now=now, every=timedelta(days=1), work=lambda: job.verify_due(now=now))
