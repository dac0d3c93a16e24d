"""Celery tasks of the database room."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from forge.db import jobs, partitions


@shared_task(name="db.rollover_partitions")
def rollover_partitions() -> dict[str, Any] | None:
    """Ticks hourly and works once a day, so a failed run is repeated within the hour."""
    now = timezone.now()
    return jobs.run_job("rollover_partitions", now, timedelta(days=1), lambda: partitions.roll_over(now))
