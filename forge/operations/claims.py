"""A claim: one worker's right to carry out an operation, for as long as its lease lasts."""

import json
import os
import random
import socket
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from forge.operations import bell
from forge.operations.backoff import delay
from forge.operations.counting import count_end
from forge.operations.handlers import Handler, handler_of, kinds
from forge.operations.models import Operation
from forge.operations.plain import plain, text

_TAKE = """
WITH due AS MATERIALIZED (
    SELECT id, status FROM operations_operation
     WHERE finished_at IS NULL
       AND COALESCE(lease_expires_at, next_attempt_at) <= %(now)s
       AND kind = ANY(%(kinds)s)
       AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid)
     ORDER BY COALESCE(lease_expires_at, next_attempt_at), id
     LIMIT 1
       FOR NO KEY UPDATE SKIP LOCKED)
UPDATE operations_operation AS operation
   SET status = 'running',
       leased_by = %(worker)s,
       lease_expires_at = %(lease_expires_at)s,
       heartbeat_at = %(now)s,
       next_attempt_at = NULL,
       fencing_token = operation.fencing_token + 1,
       attempt = operation.attempt + (due.status <> 'waiting')::int,
       failures = operation.failures + (due.status = 'running')::int,
       started_at = COALESCE(operation.started_at, %(now)s),
       updated_at = %(now)s
  FROM due
 WHERE operation.id = due.id
RETURNING operation.*, due.status AS taken_from
"""

_RENEW = """
UPDATE operations_operation
   SET heartbeat_at = %(now)s,
       lease_expires_at = %(lease_expires_at)s,
       steps = COALESCE(%(steps)s::jsonb, steps),
       progress = COALESCE(%(progress)s, progress),
       updated_at = %(now)s
 WHERE id = %(id)s AND fencing_token = %(token)s AND status = 'running'
RETURNING cancel_requested_at
"""


class LeaseLost(Exception):
    """Somebody else has taken the operation over, or it has ended: nothing of this claim may be written any more."""


class CancelRequested(Exception):
    """Somebody asked to cancel before the point of no return; the runner then calls the handler's `cancel`."""


def take(*, operation_id: uuid.UUID | None = None, now: datetime | None = None) -> "Claim | None":
    """Claim the operation, or else the one that is due longest; None when there is none or others hold it.

    One statement that commits at once: a row locked by anybody is passed over, a lease run out is taken over. Only
    kinds that this installation knows are claimed, so that during a deployment old workers leave new kinds alone.
    """
    at = now or timezone.now()
    with transaction.atomic(durable=True):
        rows = Operation.objects.raw(
            _TAKE,
            {
                "now": at,
                "id": operation_id,
                "kinds": kinds(),
                "worker": worker_name(),
                "lease_expires_at": at + lease_time(),
            },
        )
        operation = next(iter(rows), None)
    return None if operation is None else Claim(operation, fixed_now=now)


def lease_time() -> timedelta:
    return timedelta(seconds=settings.FORGE_OPERATION_LEASE_SECONDS)


def worker_name() -> str:
    """Host, process and thread, for the person who looks for a stuck worker."""
    return f"{socket.gethostname()[:150]}:{os.getpid()}:{threading.get_ident()}"


class Claim:
    """What a handler holds while it carries out an operation: the row, a lease on it and the ways to end.

    Every write is conditional on the fencing token and raises LeaseLost when somebody has taken over.
    """

    def __init__(self, operation: Operation, *, fixed_now: datetime | None = None) -> None:
        self.operation = operation
        self.token: int = operation.fencing_token
        self.handler: Handler = handler_of(operation.kind)
        self.settled = False
        self._fixed_now = fixed_now
        self._internal = ""

    def now(self) -> datetime:
        """The current time, or the one time that a test or a command gave the runner."""
        return self._fixed_now or timezone.now()

    @property
    def failures(self) -> int:
        """Attempts in a row without progress before this one."""
        return self.operation.failures

    @property
    def taken_over(self) -> bool:
        """Whether the worker before this one vanished while it held the operation."""
        return getattr(self.operation, "taken_from", None) == Operation.Status.RUNNING

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel while that is still possible."""
        return self.operation.cancellable and self.operation.cancel_requested_at is not None

    # -- While working -------------------------------------------------------------------------------------------

    def take_part(self, operation_id: uuid.UUID, *, early: timedelta) -> "Claim | None":
        """A claim on a part of this operation that nobody holds, up to `early` before its own time.

        None when somebody holds it, or it rests longer.
        """
        until = self.now() + early
        resting = Operation.objects.filter(
            id=operation_id,
            parent_id=self.operation.id,
            next_attempt_at__gt=self.now(),
            next_attempt_at__lte=until,
            status__in=[Operation.Status.QUEUED, Operation.Status.WAITING, Operation.Status.UNKNOWN],
        )
        resting.update(next_attempt_at=self.now())
        return take(operation_id=operation_id, now=self._fixed_now)

    def heartbeat(self) -> None:
        """Renew the lease; at least once per lease time and right before every slow call."""
        self._renew()

    def step(self, name: str, detail: object = None, *, progress: int | None = None) -> None:
        """Note that `name` has been reached and renew the lease; raises CancelRequested if somebody asked for it.

        A step reached again (a retry, a poll) is counted in its one entry, so the list stays as long as the work is.
        """
        at = self.now().isoformat()
        steps = [dict(entry) for entry in self.operation.steps]
        entry = next((entry for entry in steps if entry["name"] == name), None)
        if entry is None:
            entry = {"name": text(name), "first_at": at, "times": 0}
            steps.append(entry)
        entry |= {"at": at, "times": entry["times"] + 1, "detail": plain(detail)}
        self._renew(steps=steps, progress=progress)
        self.raise_if_cancelled()

    def point_of_no_return(self) -> None:
        """From here on nobody can cancel; call it outside a transaction, before the first effect outside the database.

        Raises CancelRequested when somebody was faster. Renews the lease.
        """
        if self.operation.cancellable and not self._pass_point_of_no_return():
            self._renew()
            raise CancelRequested(str(self.operation.id))
        self._renew()

    def raise_if_cancelled(self) -> None:
        if self.cancel_requested:
            raise CancelRequested(str(self.operation.id))

    def lock(self) -> Operation:
        """Lock the operation FOR NO KEY UPDATE until the end of the transaction; raises LeaseLost.

        In the lock order it comes after the scope rows and before the machine. Whoever would take the operation over
        now passes it by, so what is written after this call commits with the outcome or not at all.
        """
        operation = self._own().select_for_update(no_key=True).first()
        if operation is None:
            raise LeaseLost(str(self.operation.id))
        self.operation = operation
        return operation

    def note_fault(self, fault: Exception) -> None:
        """Keep what `fault` says for the people on call; the API does not show it."""
        self._internal = text(f"{type(fault).__name__}: {fault}")

    # -- Outcomes: exactly one, inside the handler's transaction -----------------------------------------------------

    def succeed(self, result: Mapping[str, Any] | None = None) -> None:
        """It is done."""
        self._end(Operation.Status.SUCCEEDED, result=plain(result or {}), error={}, progress=100, failures=0)

    def fail(self, error_code: str, detail: str, figures: Mapping[str, Any] | None = None) -> None:
        """It did not happen, and that is certain."""
        self._end(Operation.Status.FAILED, error=self._fault(error_code, detail) | plain(figures or {}))

    def cancelled(self, result: Mapping[str, Any] | None = None) -> None:
        """It was called off before anything happened, or all that `result` tells."""
        self._end(Operation.Status.CANCELLED, **({} if result is None else {"result": plain(result)}))

    def wait(self, at: datetime) -> None:
        """All is well so far: look again at `at`, which is not another attempt."""
        self._rest(Operation.Status.WAITING, at, failures=0, error={})

    def retry(self, at: datetime | None = None, reason: str = "", *, code: str = "retrying") -> None:
        """This attempt came to nothing: begin again at `at`, by default after the handler's back-off."""
        failures = self.failures + 1
        spread = random.random()  # noqa: S311 - it only disperses a crowd
        at = at or self.now() + delay(
            failures, first=self.handler.first_delay, cap=self.handler.longest_delay, fraction=spread
        )
        self._rest(Operation.Status.QUEUED, at, failures=failures, error=self._fault(code, reason))

    def unknown(self, reason: str, at: datetime | None = None, *, code: str = "outcome_unknown") -> None:
        """Nobody can tell whether it happened: everything stays reserved, and at `at` somebody looks again."""
        at = at or self.now() + self.handler.unknown_delay
        self._rest(Operation.Status.UNKNOWN, at, failures=self.failures + 1, error=self._fault(code, reason))

    # -- Inside --------------------------------------------------------------------------------------------------

    def _own(self) -> Any:
        return Operation.objects.filter(id=self.operation.id, fencing_token=self.token, status=Operation.Status.RUNNING)

    def _pass_point_of_no_return(self) -> bool:
        passed = self._own().filter(cancel_requested_at__isnull=True).update(cancellable=False, updated_at=self.now())
        self.operation.cancellable = not passed
        return bool(passed)

    def _renew(self, *, steps: list[dict[str, Any]] | None = None, progress: int | None = None) -> None:
        at = self.now()
        parameters = {
            "now": at,
            "lease_expires_at": at + lease_time(),
            "steps": None if steps is None else json.dumps(steps),
            "progress": progress,
            "id": self.operation.id,
            "token": self.token,
        }
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, parameters)
            row = cursor.fetchone()
        if row is None:
            raise LeaseLost(str(self.operation.id))
        self.operation.cancel_requested_at = row[0]
        self.operation.heartbeat_at = at
        self.operation.lease_expires_at = at + lease_time()
        if steps is not None:
            self.operation.steps = steps
        if progress is not None:
            self.operation.progress = progress

    def _fault(self, code: str, detail: str) -> dict[str, Any]:
        fault = {
            "code": text(code),
            "detail": text(detail),
            "at": self.now().isoformat(),
            "attempt": self.operation.attempt,
        }
        return fault | {"internal": self._internal} if self._internal else fault

    def _end(self, status: Operation.Status, **fields: Any) -> None:
        self._settle(status=status, finished_at=self.now(), next_attempt_at=None, **fields)
        count_end(self.operation)

    def _rest(self, status: Operation.Status, at: datetime, **fields: Any) -> None:
        self._settle(status=status, next_attempt_at=at, **fields)
        bell.ring_on_commit(self.operation.id, at=at, now=self.now())

    def _settle(self, **fields: Any) -> None:
        if not connection.in_atomic_block:
            raise transaction.TransactionManagementError(
                "An outcome is recorded inside the transaction of the business rows that belong to it."
            )
        fields |= {"lease_expires_at": None, "leased_by": "", "updated_at": self.now()}
        if not self._own().update(**fields):
            raise LeaseLost(str(self.operation.id))
        for name, value in fields.items():
            setattr(self.operation, name, value)
        self.settled = True
