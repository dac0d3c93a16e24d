"""Celery's side of mail and webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.db.jobs import run_job
from forge.outbox import sending
from forge.outbox.webhooks import delivering, purging, switching

JOB = "send_mails"
EVERY = timedelta(seconds=15)
WEBHOOKS_EVERY = timedelta(seconds=10)
PURGE_JOB = "purge_webhook_deliveries"
PURGE_EVERY = timedelta(days=1)


@shared_task(name="outbox.send_mails")
def send_mails() -> dict[str, Any] | None:
    """Every 15 seconds, on the queue `mail`."""
    now = timezone.now()
    return run_job(JOB, now, EVERY, lambda: sending.send(now=now))


@shared_task(name="outbox.send_webhooks")
def send_webhooks() -> dict[str, Any] | None:
    """Every ten seconds, on the queue `webhooks`: receivers that hang keep no mail waiting."""
    now = timezone.now()
    return run_job(switching.JOB, now, WEBHOOKS_EVERY, lambda: delivering.send(now=now))


@shared_task(name="outbox.purge_webhook_deliveries")
def purge_webhook_deliveries() -> dict[str, Any] | None:
    """Once a day."""
    now = timezone.now()
    return run_job(PURGE_JOB, now, PURGE_EVERY, lambda: purging.purge(now=now))
