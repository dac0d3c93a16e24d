"""Celery tasks of this room."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from audit.actors import Actor
from costs import metering, refreshes
from costs.advice import sweep
from costs.bills import services as bills
from costs.showback import sending
from costs.tags import rolling
from forge.db.jobs import run_job


@shared_task(name="costs.meter_costs")
def meter_costs() -> dict[str, Any] | None:
    """Every minute; machines that could not be metered make the run FAILED, with their ids as its error."""
    now = timezone.now()
    return run_job("meter_costs", now, timedelta(minutes=1), lambda: metering.meter(now=now))


@shared_task(name="costs.roll_up_costs")
def roll_up_costs() -> dict[str, Any] | None:
    """Every minute; a key that was chosen lately has its past summed up over several runs."""
    now = timezone.now()
    return run_job("roll_up_costs", now, timedelta(minutes=1), rolling.roll_up)


@shared_task(name="costs.refresh_prices")
def refresh_prices() -> dict[str, Any] | None:
    """Once a day, where FORGE_REFRESH_PRICES is on; ticks hourly, so that a day that failed is made up for."""
    if not settings.FORGE_REFRESH_PRICES:
        return None
    now = timezone.now()
    return run_job("refresh_prices", now, timedelta(days=1), lambda: _refresh(now))


@shared_task(name="costs.continue_bills")
def continue_bills() -> dict[str, Any] | None:
    """Every five minutes; what a command has left half booked goes on as an operation."""
    now = timezone.now()
    return run_job("continue_bills", now, timedelta(minutes=5), lambda: {"handed_over": bills.hand_over(now=now)})


@shared_task(name="costs.send_cost_reports")
def send_cost_reports() -> dict[str, Any] | None:
    """Every five minutes; reports are due from the 1st, 00:00 UTC, and each is made once."""
    now = timezone.now()
    actor = Actor.job("send_cost_reports")
    return run_job("send_cost_reports", now, timedelta(minutes=5), lambda: sending.send(actor=actor, now=now))


@shared_task(name="costs.advise_costs")
def advise_costs() -> dict[str, Any] | None:
    """Every five minutes a stretch of the day's look at all machines, until it is over."""
    now = timezone.now()
    return run_job(sweep.JOB, now, timedelta(minutes=5), lambda: sweep.go_on(now=now))


def _refresh(now: datetime) -> dict[str, Any]:
    regions = refreshes.regions_in_use()
    report = refreshes.refresh_from_aws(regions=regions, actor=Actor.job("refresh_prices"), now=now).as_dict()
    counted = {name: len(report[name]) for name in ("new", "changed")}
    return {**counted, **{name: report[name] for name in ("rows", "unchanged", "confirmed", "left_out")}}
