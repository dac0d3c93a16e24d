"""A bill from a file that lies at hand, read and booked to its end in one go: what `import_bill` does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction

from audit.actors import Actor
from costs.bills import drift, files, services
from costs.bills.booking import Progress, book_next
from costs.bills.files import Received
from costs.bills.formats import BillRefused
from costs.bills.models import Bill
from costs.bills.restoring import put_back_outdated, restore_next
from costs.permissions import require_bill
from costs.totals import folding
from forge.accounts.models import Organization
from forge.db.late import late

staging = late("costs.bills.staging")

TIMES_READ = 3
"""A file whose staged lines were lost is read so often."""


def import_file(
    *, actor: Actor, organization: Organization, path: Path, now: datetime, dry_run: bool = False
) -> dict[str, Any]:
    """Import the bill at `path`; returns its figures. The same file again changes nothing and says so.

    What another command has left half booked is booked to its end first. A dry run reads the file and books every few
    machines in a transaction that it takes back; of a file whose import has begun there is none. Raises BillRefused,
    BillUnderWay, MayNotImportBills, OSError.
    """
    require_bill(actor, organization.id)
    file = files.lying_at(path)
    there = services.known(organization, file)
    if there is not None and there.state == Bill.State.BOOKED:
        return {**figures(there), "changed_records": 0, "is_known": True}
    if dry_run and there is not None:
        raise services.BillUnderWay(extra={"bill": there.id})
    if dry_run:
        return _tried_file(actor, organization, path, replace(file, sha256=services.TRIED), now)
    try:
        left = services.left_behind(organization, now=now)
        if left is not None and left.sha256 != file.sha256:
            _book_what_was_left(left, actor, now)
        with transaction.atomic():
            bill = services.begin(actor=actor, organization=organization, name=path.name, file=file, now=now)
        changed = _booked_or_failed(bill, actor, path, now)
    except staging.PutOut as error:
        raise services.BillUnderWay("Another command imports the same bill.") from error
    bill.refresh_from_db()
    return {**figures(bill), "changed_records": changed, "is_known": False}


def figures(bill: Bill) -> dict[str, Any]:
    """What the bill came to: its own figures, drift per bundle type, and what was matched neither way."""
    names = (
        "format", "currency", "lines", "machine_lines", "other_lines", "elsewhere_lines", "machine_amount",
        "other_amount", "tax_amount",
    )  # fmt: skip
    return {
        "bill": str(bill.id),
        "state": bill.state,
        "month": f"{bill.month:%Y-%m}" if bill.month else None,
        **{name: getattr(bill, name) for name in names},
        "drift": drift.drift(bill),
        "not_billed": drift.not_billed(bill),
        "gaps": drift.gaps(bill),
    }


def _tried_file(actor: Actor, organization: Organization, path: Path, file: Received, now: datetime) -> dict[str, Any]:
    with transaction.atomic():
        bill = services.begin(actor=actor, organization=organization, name=path.name, file=file, now=now)
    with _taken_back(bill):
        return {**_tried(bill, actor, path, now), "is_known": False}


def _booked_or_failed(bill: Bill, actor: Actor, path: Path, now: datetime) -> int:
    try:
        return _booked(bill, actor, path, now)
    except BillRefused as problem:
        with transaction.atomic():
            services.fail(bill=bill, actor=actor, code=problem.code, detail=problem.detail, now=now)
        raise


def _booked(bill: Bill, actor: Actor, path: Path, now: datetime) -> int:
    changed = 0
    for _ in range(TIMES_READ):
        if bill.state == Bill.State.READING:
            staging.stage(bill=bill, path=path, now=now)
        changed += _book(bill, actor, now)
        try:
            with transaction.atomic():
                services.finish(bill=bill, actor=actor, now=now)
            return changed
        except services.StagedLinesLost:
            services.read_again(bill=bill)
            bill.refresh_from_db()
    raise services.StagedLinesLost(f"{bill.pk}, {TIMES_READ} times")


def _book_what_was_left(bill: Bill, actor: Actor, now: datetime) -> None:
    """Book a bill that another command has read; where what it read is gone too, its file has to be given again."""
    _book(bill, actor, now)
    try:
        with transaction.atomic():
            services.finish(bill=bill, actor=actor, now=now)
    except services.StagedLinesLost:
        with transaction.atomic():
            detail = "Its command did not come back and its lines are lost; give the file again."
            services.fail(bill=bill, actor=actor, code="abandoned", detail=detail, now=now)


def _book(bill: Bill, actor: Actor, now: datetime) -> int:
    cause, progress = services.cause_of(bill, actor), Progress()
    fence = _Fence(bill)
    put_back_outdated(bill=bill, cause=cause, now=now, fence=fence)
    while book_next(bill=bill, cause=cause, now=now, fence=fence, progress=progress):
        pass
    after: uuid.UUID | None = uuid.UUID(int=0)
    while after is not None:
        after = restore_next(bill=bill, after=after, cause=cause, now=now, fence=fence)
    folding.fold()
    return progress.records


def _tried(bill: Bill, actor: Actor, path: Path, now: datetime) -> dict[str, Any]:
    """What booking would come to; the sums of what each transaction would have left."""
    if bill.state == Bill.State.READING:
        staging.stage(bill=bill, path=path, now=now)
    cause, progress = services.cause_of(bill, actor), Progress()
    found = _Sums(bill)
    while book_next(
        bill=bill, cause=cause, now=now, fence=_Fence(bill), progress=progress, dry_run=True, look=found.look
    ):
        pass
    bill.refresh_from_db()
    return {**figures(bill), **found.figures(), "changed_records": progress.records}


class _Sums:
    """Drift and gaps of a dry run, added up before each transaction is taken back."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill
        self._drift: dict[str, dict[str, Any]] = {}
        self._gaps: dict[str, dict[str, Any]] = {}

    def look(self) -> None:
        self._add(self._drift, drift.drift(self._bill), "bundle_type")
        self._add(self._gaps, drift.gaps(self._bill), "reason")

    def figures(self) -> dict[str, Any]:
        for row in self._drift.values():
            row["drift_percent"] = drift.percent(row["drift"], row["metered_cost"])
        return {"drift": list(self._drift.values()), "gaps": list(self._gaps.values())}

    def _add(self, sums: dict[str, dict[str, Any]], rows: list[dict[str, Any]], key: str) -> None:
        for row in rows:
            known = sums.setdefault(row[key], {key: row[key]})
            for name, value in row.items():
                if isinstance(value, int | Decimal):
                    known[name] = known.get(name, 0) + value


class _Fence:
    """Locks the bill and makes sure that nobody has ended it."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    def __call__(self) -> None:
        rows = Bill.objects.select_for_update(no_key=True, of=("self",))
        if rows.filter(pk=self._bill.pk, state=Bill.State.BOOKING).first() is None:
            raise staging.PutOut(str(self._bill.pk))


@contextmanager
def _taken_back(bill: Bill) -> Iterator[None]:
    try:
        yield
    finally:
        staging.forget(bill)
        bill.delete()
