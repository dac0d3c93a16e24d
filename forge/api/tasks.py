"""Jobs of the API's own tables."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from forge.api import idempotency
from forge.db.jobs import run_job


@shared_task(name="api.purge_idempotency_keys")
def purge_idempotency_keys() -> dict | None:
    """Delete idempotency keys past their 24 hours."""
    now = timezone.now()
    return run_job(
        job="purge_idempotency_keys",
        now=now,
        every=timedelta(hours=1),
        work=lambda: idempotency.purge_idempotency_keys(now=now),
    )
