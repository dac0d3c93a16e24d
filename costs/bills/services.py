"""Taking the provider's bills in: a file is received once, booked once, and what came of it is kept and audited."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.bills import files
from costs.bills.booking import Cause
from costs.bills.files import Received
from costs.bills.models import Bill
from costs.permissions import require_bill
from forge.accounts.models import Organization
from forge.api.errors import Conflict
from forge.db.ids import uuid7
from forge.db.integrity import refusing
from forge.db.late import late
from forge.operations.models import Operation
from forge.operations.services import enqueue

staging = late("costs.bills.staging")

KIND = "costs.import_bill"
ABANDONED_AFTER = timedelta(hours=1)
"""A command that has read and booked nothing for so long does not come back."""
TRIED = ""
"""In place of the SHA-256 of a file that is only tried: nobody takes such a bill for the file's own."""


class BillUnderWay(Conflict):
    code = "bill_under_way"
    title = "Another bill of the organization is being imported"
    suggested_action = "Wait until it is BOOKED or FAILED. What a command has left goes on by itself after an hour."
    retryable = True


class StagedLinesLost(RuntimeError):
    """The staged lines, which are not logged, are gone with a crash of the database: the file is read again."""


def receive(
    *, actor: Actor, organization: Organization, name: str, file: Received, now: datetime
) -> tuple[Bill, Operation | None]:
    """Keep an uploaded file and have an operation book it; (bill, operation).

    The same bytes again are the bill that there is: they change nothing, and there is no operation. Raises
    MayNotImportBills, BillUnderWay.
    """
    require_bill(actor, organization.id)
    if there := known(organization, file):
        with transaction.atomic():
            _record_upload(actor, there, now, changes=None)
        return there, None
    with refusing(_refusals()):
        operation_id = uuid7()
        bill = _write(actor, organization, name, file, now, operation_id=operation_id)
        files.keep(bill, file)
        operation = _enqueue(bill, id_=operation_id, correlation_id=actor.correlation_id, now=now)
        asked = {"sha256": file.sha256, "size": file.size, "state": bill.state}
        _record_upload(actor, bill, now, changes={"before": None, "after": asked})
    return bill, operation


def begin(*, actor: Actor, organization: Organization, name: str, file: Received, now: datetime) -> Bill:
    """The bill of a file that a command reads where it lies: the one that there is, else a new one.

    One that a command had begun goes on. Raises BillUnderWay.
    """
    there = known(organization, file)
    if there is not None and there.operation_id is not None and there.state in (Bill.State.READING, Bill.State.BOOKING):
        raise BillUnderWay(extra={"bill": there.id})
    if there is not None:
        return there
    with refusing(_refusals()):
        return _write(actor, organization, name, file, now, operation_id=None)


def left_behind(organization: Organization, *, now: datetime) -> Bill | None:
    """The bill that a command was booking when it was cut off, long enough ago to be sure of it."""
    left = _left_by_commands(organization, now).filter(state=Bill.State.BOOKING)
    return left.exclude(sha256=TRIED).select_related("organization").first()


def hand_over(*, now: datetime) -> int:
    """Give what commands have left half booked to operations, which book it to its end; returns how many.

    Nothing that was uploaded since has to wait for the next command. Such an operation is not called off.
    """
    left = Bill.objects.filter(state=Bill.State.BOOKING, operation_id=None, updated_at__lt=now - ABANDONED_AFTER)
    handed_over = 0
    for bill_id in left.exclude(sha256=TRIED).order_by("id").values_list("id", flat=True):
        with transaction.atomic():
            bill = left.select_for_update(no_key=True).filter(pk=bill_id).first()
            if bill is None:  # somebody was quicker
                continue
            operation = _enqueue(bill, id_=uuid7(), correlation_id=uuid7(), now=now)
            Operation.objects.filter(pk=operation.pk).update(cancellable=False)
            bill.operation_id = operation.pk
            bill.save(update_fields=["operation_id", "updated_at"])
            handed_over += 1
    return handed_over


def known(organization: Organization, file: Received) -> Bill | None:
    """The organization's bill of this very file that has not failed."""
    bills = Bill.objects.filter(organization=organization, sha256=file.sha256)
    return bills.exclude(state=Bill.State.FAILED).select_related("organization").first()


def cause_of(bill: Bill, actor: Actor) -> Cause:
    """Why records change by this bill, as their revisions say it; of a command the bill stands for the operation."""
    return Cause(f"Bill {bill.id}", actor.user_id, bill.operation_id or bill.id)


def finish(*, bill: Bill, actor: Actor, now: datetime) -> Bill:
    """Say that all of the bill is booked, in the caller's transaction; what it takes the place of is marked so.

    Raises StagedLinesLost when not all of its lines were settled, staging.PutOut when another one has ended it.
    """
    locked = _locked(bill)
    if locked.state != Bill.State.BOOKING:
        raise staging.PutOut(str(bill.pk))
    if locked.settled_lines != locked.machine_lines:
        raise StagedLinesLost(str(bill.pk))
    earlier = Bill.objects.filter(
        organization_id=locked.organization_id,
        month=locked.month,
        accounts__overlap=locked.accounts,
        state=Bill.State.BOOKED,
        replaced_at=None,
    )
    earlier.exclude(pk=locked.pk).update(replaced_at=now, updated_at=now)
    locked.state, locked.booked_at = Bill.State.BOOKED, now
    locked.save()
    locked.parts.all().delete()
    _record(actor, locked, result="SUCCESS", now=now, **_figures(locked))
    return locked


def read_again(*, bill: Bill) -> None:
    """Set a bill back whose staged lines are lost."""
    with transaction.atomic():
        locked = _locked(bill)
        locked.state, locked.reading = Bill.State.READING, None
        locked.save(update_fields=["state", "reading", "updated_at"])


def fail(*, bill: Bill, actor: Actor, code: str, detail: str, now: datetime) -> None:
    """Give up a bill of which nothing is booked, in the caller's transaction."""
    locked = _locked(bill)
    locked.state, locked.error = Bill.State.FAILED, f"{code}: {detail}"[:500]
    locked.save(update_fields=["state", "error", "updated_at"])
    staging.forget(locked)
    locked.parts.all().delete()
    _record(actor, locked, result="FAILURE", now=now, code=code)


def _enqueue(bill: Bill, *, id_: uuid.UUID, correlation_id: uuid.UUID, now: datetime) -> Operation:
    return enqueue(
        id=id_,
        organization_id=bill.organization_id,
        actor_id=bill.asked_by_id,
        owner_id=bill.asked_by_id,
        kind=KIND,
        target_type="Bill",
        target_id=bill.id,
        spec={"sha256": bill.sha256},
        correlation_id=correlation_id,
        now=now,
    )


def _locked(bill: Bill) -> Bill:
    rows = Bill.objects.select_for_update(no_key=True, of=("self",)).select_related("organization")
    return rows.get(pk=bill.pk)


def _write(
    actor: Actor,
    organization: Organization,
    name: str,
    file: Received,
    now: datetime,
    *,
    operation_id: uuid.UUID | None,
) -> Bill:
    nothing_booked = Q(state=Bill.State.READING) | Q(state=Bill.State.BOOKING, sha256=TRIED)
    for bill in _left_by_commands(organization, now).filter(nothing_booked).select_for_update(no_key=True):
        fail(bill=bill, actor=actor, code="abandoned", detail="Its command did not come back.", now=now)
    return Bill.objects.create(
        organization=organization,
        asked_by_id=actor.user_id,
        operation_id=operation_id,
        name=name[:200],
        size=file.size,
        sha256=file.sha256,
    )


def _left_by_commands(organization: Organization, now: datetime) -> QuerySet[Bill]:
    return Bill.objects.filter(organization=organization, operation_id=None, updated_at__lt=now - ABANDONED_AFTER)


def _refusals() -> Mapping[str, Exception]:
    return {
        "costs_bill_one_open_per_organization": BillUnderWay(),
        "costs_bill_one_per_file": BillUnderWay("This very file is being imported."),
    }


def _figures(bill: Bill) -> dict[str, Any]:
    return {
        "month": f"{bill.month:%Y-%m}",
        "format": bill.format,
        "sha256": bill.sha256,
        "lines": bill.lines,
        "machine_lines": bill.machine_lines,
        "machine_amount": str(bill.machine_amount),
        "currency": bill.currency,
    }


def _record_upload(actor: Actor, bill: Bill, now: datetime, *, changes: dict[str, Any] | None) -> None:
    """The entry of a file that was given; without changes where it was there already."""
    record(
        actor=actor,
        action=actions.BILL_UPLOAD,
        resource_type="Bill",
        resource_id=str(bill.id),
        description=f"Gave bill {bill.id}" + ("" if changes else " again"),
        organization_id=bill.organization_id,
        changes=changes,
        context={"operation_id": bill.operation_id},
        occurred_at=now,
    )


def _record(actor: Actor, bill: Bill, *, result: str, now: datetime, **facts: Any) -> None:
    record(
        actor=actor.in_organization(bill.organization_id),
        action=actions.BILL_IMPORT,
        resource_type="Bill",
        resource_id=str(bill.id),
        result=result,
        description=f"Import of bill {bill.id}: {bill.state.lower()}",
        context={"operation_id": bill.operation_id, **facts},
        occurred_at=now,
    )
