"""A verification that somebody asks for through the API, carried out as an operation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from audit import actions
from audit.actors import Actor
from audit.entries import FAILURE, SUCCESS
from audit.models import AuditVerification
from audit.services import record
from audit.verification import runs
from audit.verification.runs import Run
from forge.api.errors import Conflict, Denied
from forge.db import scope as scopes
from forge.db.ids import uuid7
from forge.db.locks import advisory_lock
from forge.operations.claims import Claim, LeaseLost
from forge.operations.handlers import Handler
from forge.operations.models import Operation
from forge.operations.services import enqueue

KIND = "audit.verify"
STEP_SECONDS = 5.0

Scope = AuditVerification.Scope

ASKED = [(Scope.FULL.value, "All of the log"), (Scope.SINCE.value, "What came since it was last found intact")]
"""What may be asked for."""


class MayNotVerify(Denied):
    code = "may_not_verify"
    title = "Auditors and admins of an organization have the audit log verified"
    suggested_action = "Operators of the installation run manage.py audit_verify."
    advice = "Operators verify at the command line of the installation."


class VerificationUnderWay(Conflict):
    code = "verification_under_way"
    title = "A verification that was asked for has not ended yet"
    suggested_action = "Follow that operation."


def ask(*, actor: Actor, scope: str, now: datetime) -> Operation:
    """Have the log verified, FULL or SINCE; one at a time for all. Raises MayNotVerify, VerificationUnderWay."""
    user = actor.user
    if user is None or user.organization_id is None or not user.has_role("auditor", "admin"):
        raise MayNotVerify()
    with transaction.atomic():
        advisory_lock(KIND)
        with scopes.system():
            open_one = Operation.objects.open().filter(kind=KIND).first()
        if open_one is not None:
            own = {"operation": open_one.id} if open_one.organization_id == user.organization_id else {}
            raise VerificationUnderWay(extra=own)
        id_ = uuid7()
        operation = enqueue(
            id=id_,
            organization_id=user.organization_id,
            actor_id=actor.user_id,
            owner_id=actor.user_id,
            kind=KIND,
            target_type="AuditLog",
            target_id=id_,
            spec={"scope": scope},
            correlation_id=actor.correlation_id,
            now=now,
        )
        asked = {"before": None, "after": {"scope": scope, "status": operation.status}}
        _record_request(operation, actor=actor, result=SUCCESS, outcome="asked", changes=asked)
    return operation


class Verify(Handler):
    """Reads only until its outcome, so that it may be cut off anywhere and begun again."""

    def run(self, claim: Claim) -> None:
        run = Run(claim.operation.spec["scope"])
        with _kept_alive(claim), scopes.system():  # the log is one for all organizations
            try:
                runs.verify_all(run, progress=_Steps(claim))
            except runs.UNDECIDABLE as error:
                run.reason = " ".join(str(error).split()) or type(error).__name__
        with transaction.atomic():
            operation = claim.lock()
            kept = runs.write_down(run, actor=Actor.of_operation(operation))
            if run.reason:
                claim.fail("undecided", "The log could not be verified; the verification says why.", {"id": kept.id})
            else:
                claim.succeed({"id": kept.id, "outcome": kept.outcome, "rows": kept.rows, "findings": kept.findings})

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        _record_request(operation, actor=actor or Actor.of_operation(operation), result=FAILURE, outcome="cancelled")

    def cancel_requested(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        _record_request(operation, actor=actor, result=SUCCESS, outcome="cancel_requested")

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        _record_request(operation, actor=actor, result=SUCCESS, outcome="retry")


verify = Verify()


class _Steps:
    """Notes how far it is, every few seconds; raises CancelRequested."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._next = time.monotonic()

    def __call__(self, name: str, rows: int, share: float) -> None:
        if time.monotonic() >= self._next:
            self._claim.step("rows", {"rows": rows}, progress=int(90 * share))
            self._next = time.monotonic() + STEP_SECONDS


@contextmanager
def _kept_alive(claim: Claim) -> Iterator[None]:
    """Renew the lease from a thread: one statement of a verification may take longer than a lease."""
    is_over = threading.Event()

    def renew() -> None:
        try:
            while not is_over.wait(settings.FORGE_OPERATION_LEASE_SECONDS / 3):
                claim.heartbeat()
        except LeaseLost:
            return  # the outcome will not be written either
        finally:
            connection.close()

    thread = threading.Thread(
        target=copy_context().run, args=[renew], name=f"lease of {claim.operation.id}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _record_request(
    operation: Operation, *, actor: Actor, result: str, outcome: str, changes: dict[str, Any] | None = None
) -> None:
    record(
        actor=actor.in_organization(operation.organization_id),
        action=actions.AUDIT_VERIFY_REQUEST,
        resource_type="Operation",
        resource_id=str(operation.id),
        result=result,
        description=f"Verification {operation.id} of the audit log: {outcome.replace('_', ' ')}",
        changes=changes,
        context={"scope": operation.spec["scope"], "outcome": outcome},
    )
