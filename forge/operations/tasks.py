"""Celery's side: the bell rings `run_operation`, the beat `sweep_operations`."""

import uuid

from celery import shared_task
from django.utils import timezone

from forge.operations import runner


@shared_task(name="operations.run_operation")
def run_operation(*, operation_id: str) -> None:
    runner.run_one(uuid.UUID(operation_id))


@shared_task(name="operations.sweep_operations")
def sweep_operations() -> None:
    runner.sweep(now=timezone.now())
