"""Celery tasks of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.db.jobs import run_job
from workspaces import reconcile
from workspaces.leavers.sweep import look_after_leavers
from workspaces.posture import sweep as posture
from workspaces.rules import pausing, sweep, usage
from workspaces.rules.settings import COLLECT_EVERY


@shared_task(name="workspaces.reconcile_workspaces")
def reconcile_workspaces() -> dict[str, Any] | None:
    """Every five minutes."""
    now = timezone.now()
    return run_job("reconcile_workspaces", now, timedelta(minutes=5), lambda: reconcile.reconcile(now=now))


@shared_task(name="workspaces.check_posture")
def check_posture() -> dict[str, Any] | None:
    """Every hour."""
    now = timezone.now()
    return run_job(posture.JOB, now, posture.EVERY, lambda: posture.check(now=now))


@shared_task(name="workspaces.enforce_lifecycle")
def enforce_lifecycle() -> dict[str, Any] | None:
    """Every five minutes; what one run may touch is bounded, so a slot has one run, whatever became of it."""
    now = timezone.now()
    return run_job(pausing.JOB, now, timedelta(minutes=5), lambda: sweep.enforce(now=now), again=False)


@shared_task(name="workspaces.collect_usage")
def collect_usage() -> dict[str, Any] | None:
    """Every five minutes."""
    now = timezone.now()
    return run_job(usage.JOB, now, COLLECT_EVERY, lambda: usage.collect(now=now))


@shared_task(name="workspaces.quarantine_leavers")
def quarantine_leavers() -> dict[str, Any] | None:
    """Every minute."""
    now = timezone.now()
    return run_job("quarantine_leavers", now, timedelta(minutes=1), lambda: look_after_leavers(now=now))
