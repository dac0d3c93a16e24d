"""Celery's side of mail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.db.jobs import run_job
from forge.outbox import sending

JOB = "send_mails"
EVERY = timedelta(seconds=15)


@shared_task(name="outbox.send_mails")
def send_mails() -> dict[str, Any] | None:
    """Every 15 seconds, on the queue `mail`."""
    now = timezone.now()
    return run_job(JOB, now, EVERY, lambda: sending.send(now=now))
