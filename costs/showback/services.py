"""Issuing reports: a file is written, and that it left, with what it came to and its digest, is kept and audited."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import IO

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.showback.figures import Asked, Line, read
from costs.showback.head import Head, head_of
from costs.showback.models import IssuedReport, ReportFormat
from costs.showback.permissions import require_kind, require_scope
from costs.showback.texts import write_csv, write_json
from forge.api.errors import BadRequest
from forge.db.late import late
from forge.db.months import month_of

EARLIEST = date(2000, 1, 1)

pdf = late("costs.showback.pdf")


def write_pdf(head: Head, lines: Iterable[Line], file: IO[bytes]) -> None:
    """The report as a PDF."""
    pdf.write_pdf(head, lines, file)


_WRITERS: Mapping[str, Callable[[Head, Iterable[Line], IO[bytes]], None]] = {
    ReportFormat.CSV: write_csv,
    ReportFormat.JSON: write_json,
    ReportFormat.PDF: write_pdf,
}
MEDIA_TYPES: Mapping[str, str] = {
    ReportFormat.CSV: "text/csv; charset=utf-8",
    ReportFormat.JSON: "application/json",
    ReportFormat.PDF: "application/pdf",
}


class MonthOutOfRange(BadRequest):
    code = "month_out_of_range"
    title = "There is no report of that month"
    suggested_action = "Ask for a month that has begun, such as 2026-03."


@dataclass(frozen=True)
class Written:
    """A report as a file, from its beginning, with what stands above its lines."""

    head: Head
    form: ReportFormat
    file: IO[bytes]
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """What the file is called: letters, digits and dashes only."""
        asked = self.head.asked
        team = f"-{asked.team.slug}" if asked.team else ""
        words = f"{asked.kind}-{asked.by}{team}".lower().replace("_", "-")
        return f"{words}-{asked.month:%Y-%m}.{self.form}"


def require(*, actor: Actor, asked: Asked, now: datetime) -> None:
    """Whether there is such a report, for that person; raises MayNotExportCosts, NotChargeable, MonthOutOfRange."""
    require_scope(actor, asked.organization.id, asked.team)
    require_kind(asked.kind, asked.by)
    if not EARLIEST <= asked.month <= month_of(now.astimezone(UTC)):
        raise MonthOutOfRange(f"{asked.month:%Y-%m} has not begun, or is too long ago.")


def written(*, actor: Actor, asked: Asked, form: ReportFormat, now: datetime) -> Written:
    """Write the report into a temporary file, which is gone once the caller has closed it.

    Raises what `require` does.
    """
    require(actor=actor, asked=asked, now=now)
    with ExitStack() as unless_whole:
        file = unless_whole.enter_context(tempfile.TemporaryFile(prefix="report-"))
        with read(asked) as (sums, lines):
            head = head_of(asked, sums, now)
            _WRITERS[form](head, lines, file)
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        unless_whole.pop_all()
    return Written(head, form, file, size, digest)


def make(*, actor: Actor, asked: Asked, form: ReportFormat, now: datetime) -> tuple[IssuedReport, Written]:
    """Write a report for somebody who waits for it, and keep that it left; the caller closes its file.

    Raises what `require` does.
    """
    with ExitStack() as unless_kept:
        report = written(actor=actor, asked=asked, form=form, now=now)
        unless_kept.callback(report.file.close)
        issued = issue(actor=actor, report=report, now=now)
        unless_kept.pop_all()
    return issued, report


def issue(*, actor: Actor, report: Written, now: datetime, is_scheduled: bool = False) -> IssuedReport:
    """Keep that the report leaves, with its audit entry; in the caller's transaction, or in one of its own."""
    head, asked = report.head, report.head.asked
    with transaction.atomic():
        issued = IssuedReport.objects.create(
            organization=asked.organization,
            team=asked.team,
            kind=asked.kind,
            by=asked.by,
            month=asked.month,
            format=report.form,
            is_provisional=head.is_provisional,
            metered_through=head.metered_through,
            currency=head.currency,
            total_cost=head.sums.total_cost,
            amount=head.sums.amount,
            groups=head.sums.groups,
            previous=head.previous,
            size=report.size,
            sha256=report.sha256,
            is_scheduled=is_scheduled,
            issued_by_id=actor.user_id,
            issued_at=head.issued_at,
        )
        record(
            actor=actor.in_organization(asked.organization.id),
            action=actions.COST_EXPORT,
            resource_type="IssuedReport",
            resource_id=str(issued.id),
            description=f"Issued report {issued.id}",
            changes={"before": None, "after": {"amount": str(issued.amount), "sha256": issued.sha256}},
            context={
                "format": issued.format,
                "kind": issued.kind,
                "by": issued.by,
                "month": f"{issued.month:%Y-%m}",
                "team_id": asked.team.id if asked.team else None,
                "status": head.status,
                "currency": issued.currency,
                "count": issued.groups,
            },
            occurred_at=now,
        )
    return issued
