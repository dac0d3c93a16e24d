"""Celery tasks of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from costs import metering
from forge.db.jobs import run_job


@shared_task(name="costs.meter_costs")
def meter_costs() -> dict[str, Any] | None:
    """Every minute; machines that could not be metered make the run FAILED, with their ids as its error."""
    now = timezone.now()
    return run_job("meter_costs", now, timedelta(minutes=1), lambda: metering.meter(now=now))
