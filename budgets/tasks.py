"""Celery tasks of this room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from audit.actors import Actor
from budgets import proof, sweep
from forge.db.jobs import run_job

JOB = "check_budgets"


@shared_task(name="budgets.check_budgets")
def check_budgets() -> dict[str, Any] | None:
    """Every minute; the mail that marks owe is sent by the job `send_mails`."""
    now = timezone.now()
    return run_job(JOB, now, timedelta(minutes=1), lambda: sweep.check_budgets(actor=Actor.job(JOB), now=now))


@shared_task(name="budgets.prove_books")
def prove_books() -> dict[str, Any] | None:
    """Once a day, first thing after midnight UTC; a night in which the books did not agree is proved again hourly."""
    now = timezone.now()
    actor = Actor.job("prove_books")
    return run_job("prove_books", now, timedelta(days=1), lambda: proof.prove(actor=actor, now=now))
