"""Celery tasks of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from audit.actors import Actor
from budgets import notices, sweep
from forge.db.jobs import run_job

JOB = "check_budgets"


@shared_task(name="budgets.check_budgets")
def check_budgets() -> dict[str, Any] | None:
    """Every minute; hands what it owes by mail to the mail queue."""
    now = timezone.now()
    try:
        return run_job(JOB, now, timedelta(minutes=1), lambda: sweep.check_budgets(actor=Actor.job(JOB), now=now))
    finally:
        if notices.due(now=timezone.now()):
            send_notices.delay()


@shared_task(name="budgets.send_notices")
def send_notices() -> dict[str, int]:
    """Send the notices that are due; any number may run at once."""
    return notices.send(now=timezone.now())
