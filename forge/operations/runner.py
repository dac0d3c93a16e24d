"""Carrying operations out: claim one, let its handler work, and write down whatever becomes of it."""

import logging
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction

from forge.db import scope
from forge.db.jobs import run_job
from forge.metrics.counters import ATTEMPTS
from forge.operations import claims
from forge.operations.claims import CancelRequested, Claim, LeaseLost

logger = logging.getLogger(__name__)

JOB = "run_operations"
SWEEP_EVERY = timedelta(seconds=5)
SWEEP_LIMIT = 100
"""What one sweep carries out at most; the next one, in another worker, goes on beside it."""
FAULT, LOST = "fault", "lost"
UNEXPECTED = "unexpected_error"
_REASON = "Something unexpected happened on our side; it is tried again."


class NoOutcome(Exception):
    """The handler came back without having said how the operation stands."""


def run_one(operation_id: uuid.UUID | None = None, now: datetime | None = None) -> bool:
    """Carry out the operation, or the one due longest, up to its next outcome; False when there is none to claim.

    Whatever the handler raises ends here: it is recorded at the operation, which is then tried again. Only when the
    database itself fails does that reach the caller; then the lease runs out and somebody else takes over.
    """
    return _run_next(operation_id, now) is not None


def run_due(*, limit: int, now: datetime | None = None) -> Counter[str]:
    """Carry out up to `limit` due operations, longest waiting first; answers how many ended in each way.

    The ways are the statuses, `fault` (the handler raised) and `lost` (somebody took over). Any number of these may
    run at the same time: each claim passes over what others hold.
    """
    ways: Counter[str] = Counter()
    while ways.total() < limit and (way := _run_next(None, now)):
        ways[way] += 1
    return ways


def sweep(*, now: datetime) -> dict[str, Any] | None:
    """What the beat does every few seconds: whatever nobody was rung for, or whose worker vanished.

    None when another sweep has this slot of the schedule, or the job is paused.
    """
    return run_job(JOB, now, SWEEP_EVERY, lambda: dict(run_due(limit=SWEEP_LIMIT)))


def _run_next(operation_id: uuid.UUID | None, now: datetime | None) -> str | None:
    claim = claims.take(operation_id=operation_id, now=now)
    if claim is None:
        return None
    with (
        structlog.contextvars.bound_contextvars(
            operation_id=str(claim.operation.id), correlation_id=str(claim.operation.correlation_id)
        ),
        scope.organization(claim.operation.organization_id),
    ):
        way = _carry_out(claim)
    ATTEMPTS.labels(claim.operation.kind, way).inc()
    return way


def _carry_out(claim: Claim) -> str:
    way = ""
    try:
        try:
            _work(claim)
        except LeaseLost:
            raise
        except Exception as fault:  # the boundary: a handler's bug must not take the worker with it
            logger.exception("Operation %s: attempt %s failed.", claim.operation.id, claim.operation.attempt)
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
            _give_back(claim, fault)
            way = FAULT
    except LeaseLost:
        logger.warning("Operation %s: the lease of token %s is lost.", claim.operation.id, claim.token)
        way = LOST
    return way or claim.operation.status


def _work(claim: Claim) -> None:
    if claim.taken_over and claim.failures >= claim.handler.max_failures:
        _exhaust(claim)
        return
    try:
        claim.raise_if_cancelled()
        claim.handler.run(claim)
    except CancelRequested:
        cancel(claim)
    _require_outcome(claim)


def cancel(claim: Claim) -> None:
    """Call off what somebody asked to cancel before the point of no return."""
    with transaction.atomic():
        claim.handler.lock_first(claim.operation)
        operation = claim.lock()
        claim.handler.cancel(operation, actor=None, now=claim.now())
        claim.cancelled()


def _give_back(claim: Claim, fault: Exception) -> None:
    """Put the operation back with its fault: to be tried again, or for the handler to decide after too many."""
    claim.note_fault(fault)
    if claim.failures + 1 < claim.handler.max_failures:
        with transaction.atomic():
            claim.retry(reason=_REASON, code=UNEXPECTED)
        return
    try:
        _exhaust(claim)
    except LeaseLost:
        raise
    except Exception:  # the same boundary, for the handler's last word
        logger.exception("Operation %s: its handler cannot decide what becomes of it.", claim.operation.id)
        with transaction.atomic():
            claim.unknown(_REASON, code=UNEXPECTED)


def _exhaust(claim: Claim) -> None:
    claim.handler.on_exhausted(claim)
    _require_outcome(claim)


def _require_outcome(claim: Claim) -> None:
    if not claim.settled:
        raise NoOutcome(f"The handler of {claim.operation.kind} ended without an outcome.")
