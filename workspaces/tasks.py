"""Celery tasks of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.db.jobs import run_job
from workspaces import expiry, reconcile
from workspaces.leavers.sweep import look_after_leavers


@shared_task(name="workspaces.reconcile_workspaces")
def reconcile_workspaces() -> dict[str, Any] | None:
    """Every five minutes."""
    now = timezone.now()
    return run_job("reconcile_workspaces", now, timedelta(minutes=5), lambda: reconcile.reconcile(now=now))


@shared_task(name="workspaces.enforce_lifecycle")
def enforce_lifecycle() -> dict[str, Any] | None:
    """Every five minutes."""
    now = timezone.now()
    return run_job("enforce_lifecycle", now, timedelta(minutes=5), lambda: expiry.end_expired(now=now))


@shared_task(name="workspaces.quarantine_leavers")
def quarantine_leavers() -> dict[str, Any] | None:
    """Every minute."""
    now = timezone.now()
    return run_job("quarantine_leavers", now, timedelta(minutes=1), lambda: look_after_leavers(now=now))
