"""The operation that books an uploaded bill; cut off anywhere, it goes on with the lines that are left."""

from __future__ import annotations

import time
import uuid
from datetime import datetime

from django.conf import settings
from django.db import transaction

from audit.actors import Actor
from costs.bills import files, services
from costs.bills.booking import Progress, book_next
from costs.bills.formats import BillRefused
from costs.bills.models import Bill
from costs.bills.restoring import put_back_outdated, restore_next
from costs.bills.services import cause_of
from costs.totals import folding
from forge.api.errors import Conflict
from forge.db.late import late
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation

staging = late("costs.bills.staging")

STRETCH_SECONDS = 10.0
"""After so long the worker lets other operations have their turn."""


class BillIsOver(Conflict):
    code = "bill_is_over"
    title = "An import that has failed or was called off is not tried again"
    suggested_action = "Give the file again."


class ImportBill(Handler):
    """Reading may be called off; from the first booked machine on it goes to its end."""

    def run(self, claim: Claim) -> None:
        bill = Bill.objects.select_related("organization").get(pk=claim.operation.target_id)
        if bill.state == Bill.State.READING:
            try:
                with files.taken_out(bill) as path:
                    staging.stage(bill=bill, path=path, now=claim.now(), beat=_Pulse(claim))
            except BillRefused as problem:
                with transaction.atomic():
                    self._end(claim, claim.lock(), problem.code, problem.detail)
                return
            claim.step("read", {"lines": bill.lines, "machine_lines": bill.machine_lines}, progress=30)
        claim.point_of_no_return()
        if self._book(claim, bill):
            with transaction.atomic():
                operation = claim.lock()
                try:
                    booked = services.finish(bill=bill, actor=actor_of(operation), now=claim.now())
                except services.StagedLinesLost:
                    services.read_again(bill=bill)
                    claim.wait(claim.now())
                    return
                claim.succeed({"bill": str(booked.id), "month": f"{booked.month:%Y-%m}", "lines": booked.lines})

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        self._give_up(operation, actor or actor_of(operation), "cancelled", "It was called off.", now)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        raise BillIsOver()

    def is_retryable(self, operation: Operation) -> bool:
        return operation.status == Operation.Status.UNKNOWN

    def _book(self, claim: Claim, bill: Bill) -> bool:
        """Book what is left; False when the worker should come back for the rest."""
        cause, progress = cause_of(bill, actor_of(claim.operation)), Progress()
        put_back_outdated(bill=bill, cause=cause, now=claim.now(), fence=claim.lock)
        claim.heartbeat()
        until = time.monotonic() + STRETCH_SECONDS
        while book_next(bill=bill, cause=cause, now=claim.now(), fence=claim.lock, progress=progress):
            bill.refresh_from_db(fields=["settled_lines", "machine_lines"])
            share = 65 * bill.settled_lines // max(1, bill.machine_lines)
            claim.step("book", {"lines": bill.settled_lines}, progress=30 + share)
            if time.monotonic() >= until:
                with transaction.atomic():
                    claim.lock()
                    claim.wait(claim.now())
                return False
        after: uuid.UUID | None = uuid.UUID(int=0)
        while after is not None:
            after = restore_next(bill=bill, after=after, cause=cause, now=claim.now(), fence=claim.lock)
            claim.heartbeat()
        folding.fold()
        return True

    def _end(self, claim: Claim, operation: Operation, code: str, detail: str) -> None:
        self._give_up(operation, actor_of(operation), code, detail, claim.now())
        claim.fail(code, detail)

    def _give_up(self, operation: Operation, actor: Actor, code: str, detail: str, now: datetime) -> None:
        bill = Bill.objects.get(pk=operation.target_id)
        services.fail(bill=bill, actor=actor, code=code, detail=detail, now=now)


import_bill = ImportBill()


def actor_of(operation: Operation) -> Actor:
    """In whose name the worker acts: whoever gave the file."""
    return Actor.of_operation(operation, job=services.KIND)


class _Pulse:
    """Renews the claim's lease four times in its length, called as often as one likes; raises CancelRequested."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._pause = settings.FORGE_OPERATION_LEASE_SECONDS / 4
        self._next = time.monotonic() + self._pause

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._claim.heartbeat()
            self._claim.raise_if_cancelled()
            self._next = time.monotonic() + self._pause
