"""Celery's side of people: what ends by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.accounts import expiring
from forge.accounts.signin import sessions
from forge.db.jobs import run_job

PURGE_JOB = "purge_sessions"
WARN_JOB = "warn_of_ends"


@shared_task(name="accounts.purge_sessions")
def purge_sessions() -> dict[str, Any] | None:
    """Once an hour: sessions past their end."""
    now = timezone.now()
    return run_job(PURGE_JOB, now, timedelta(hours=1), lambda: sessions.purge(now=now))


@shared_task(name="accounts.warn_of_ends")
def warn_of_ends() -> dict[str, Any] | None:
    """Once an hour: mail before tokens and credentials end."""
    now = timezone.now()
    return run_job(WARN_JOB, now, timedelta(hours=1), lambda: expiring.warn(now=now))
