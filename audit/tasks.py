"""Jobs of the audit log."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from audit import sweeps
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


@shared_task(name="audit.verify")
def verify() -> dict | None:
    """Verify the log; ticks hourly and works once a day, so an undecided run is repeated within the hour."""
    now = timezone.now()
    return run_job(job=job.JOB, now=now, every=timedelta(days=1), work=lambda: job.verify_due(now=now))
