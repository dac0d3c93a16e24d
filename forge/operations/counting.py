"""Counting how operations end, for Prometheus."""

from django.db import transaction

from forge.metrics.counters import OPERATION_SECONDS
from forge.operations.models import Operation


def count_end(operation: Operation) -> None:
    """Count the operation, which has just ended, under its kind and outcome, once the caller's transaction commits."""
    kind, outcome = operation.kind, str(operation.status)
    seconds = operation.duration(operation.updated_at).total_seconds()
    transaction.on_commit(lambda: OPERATION_SECONDS.labels(kind, outcome).observe(seconds))
