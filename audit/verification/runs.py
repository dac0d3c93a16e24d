"""One verification from beginning to end: what is looked at, what it came to, and that this is written down."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from audit import actions
from audit.actors import Actor
from audit.canonical import MAX_INTEGER
from audit.entries import FAILURE, SUCCESS
from audit.models import AuditVerification
from audit.receipts import Receipt
from audit.sealing.sinks import S3Sink
from audit.services import record
from audit.verification import dropped as drops
from audit.verification import receipts, rows, seals
from audit.verification import seals_sql as sql
from audit.verification.copies import check_copies
from audit.verification.events import Events, verify_events
from audit.verification.findings import CannotDecide, Finding, Report
from audit.verification.holds import check_holds
from audit.verification.queries import fetch
from audit.verification.seals import Seals
from audit.verification.since import Since, verified_until
from forge.operations.plain import plain, text

logger = logging.getLogger(__name__)

UNDECIDABLE = (CannotDecide, DatabaseError, InterfaceError, ImproperlyConfigured, OSError)
"""What keeps a verification from an answer."""

_PLACE = ("kind", "lane", "lane_seq", "partition")

Scope, Outcome = AuditVerification.Scope, AuditVerification.Outcome


@dataclass
class Run:
    """A verification: what was asked, and what it came to so far."""

    scope: str
    subject: str = ""
    started_at: datetime = field(default_factory=timezone.now)
    since: Since | None = None
    reached: tuple[int, int, bytes] | None = None
    report: Report = field(default_factory=Report)
    seals: Seals = field(default_factory=Seals)
    events: Events = field(default_factory=Events)
    reason: str = ""

    @property
    def outcome(self) -> str:
        if self.reason:
            return Outcome.UNDECIDED
        return Outcome.INTACT if self.report.is_intact else Outcome.TAMPERED

    @property
    def notices(self) -> list[str]:
        """What the reader must know beside the outcome: what was not looked at."""
        left_out = [f"Not looked at: {self.since}."] if self.since else []
        return left_out + self.seals.notices + self.events.notices


def verify_all(
    run: Run,
    *,
    month: date | None = None,
    after: int | None = None,
    against: Path | S3Sink | None = None,
    jobs: int = 1,
    progress: rows.Progress | None = None,
) -> Run:
    """Verify rows, seals, events, legal holds and copies of dropped months as far as `run.scope` goes.

    Fills `run` and returns it. SINCE begins after checkpoint `after`, or (None) after what earlier verifications found
    intact. Raises CannotDecide where there is no such beginning, when months moved meanwhile, and when months were
    dropped and nothing else is found, but their copies cannot be looked for; and the other errors of UNDECIDABLE.
    """
    if run.scope == Scope.SINCE:
        run.since = _since(after)
    if run.scope != Scope.MONTH:
        # Before any row is looked at: what is sealed later may not have been.
        run.reached = next(iter(fetch(sql.NEWEST_CHECKPOINT)), None)
    with drops.steady():
        dropped = drops.load()
        run.report = rows.verify(month=month, since=run.since, dropped=dropped, jobs=jobs, progress=progress)
        run.seals = seals.verify_seals(month=month, since=run.since, against=against, dropped=dropped)
        run.report.findings += run.seals.findings
        if month is None:
            run.events = verify_events(since=run.since.at if run.since else None, dropped=dropped)
            run.report.findings += run.events.findings
            if run.scope == Scope.FULL:
                run.report.findings += check_holds()
            findings, unchecked = check_copies(dropped)
            run.report.findings += findings
            run.seals.notices += unchecked
            if unchecked and run.report.is_intact:
                raise CannotDecide(unchecked[0])
    return run


def verify_receipt(run: Run, receipt: Receipt) -> receipts.ReceiptReport:
    """One receipt against the log; its findings become those of `run`."""
    found = receipts.verify_receipt(receipt)
    run.report.rows = 1
    run.report.findings += found.findings
    return found


def write_down(run: Run, *, actor: Actor) -> AuditVerification:
    """Keep what the run came to, with its entry in the log, in one transaction; alarms when it found tampering.

    Raises AuditUnavailable and DatabaseError when that cannot be written.
    """
    findings: Sequence[Finding] = [] if run.reason else run.report.sorted_findings()
    if findings and run.scope != Scope.RECEIPT:
        logger.error("audit_verify: TAMPERED, %s findings, the first: %s", len(findings), findings[0])
    checkpoint, size, root = run.reached or (None, None, None)
    figures: dict[str, Any] = {
        "scope": str(run.scope),
        "subject": run.subject,
        "outcome": str(run.outcome),
        "rows": run.report.rows,
        "after_checkpoint": run.since.checkpoint if run.since else None,
        "checkpoint": checkpoint,
        "findings": len(findings),
    }
    with transaction.atomic():
        kept = AuditVerification.objects.create(
            **figures,
            started_at=run.started_at,
            finished_at=max(timezone.now(), run.started_at),
            tree_size=size,
            root_hash=root,
            first=plain(asdict(findings[0])) if findings else None,
            reason=text(run.reason),
            correlation_id=actor.correlation_id,
        )
        record(
            actor=actor,
            action=actions.AUDIT_VERIFY,
            resource_type="AuditVerification",
            resource_id=str(kept.id),
            result=SUCCESS if run.outcome == Outcome.INTACT else FAILURE,
            description=f"Verified the audit log: {run.outcome}",
            context={name: _exact(value) for name, value in (figures | _where(findings)).items()},
        )
    return kept


def _since(after: int | None) -> Since:
    if after is not None:
        return Since.after(after)
    until = verified_until()
    if until is None:
        raise CannotDecide("No full verification has found the log intact up to a checkpoint yet: run one first.")
    return Since.after_verification(until)


def _where(findings: Sequence[Finding]) -> dict[str, Any]:
    """Kind and place of the first finding: numbers of the log, nothing of what an organization has."""
    return {f"first_{name}": getattr(findings[0], name) for name in _PLACE} if findings else {}


def _exact(value: Any) -> Any:
    """Numbers that a forger has set may be greater than an entry holds: as text then."""
    return str(value) if isinstance(value, int) and abs(value) > MAX_INTEGER else value
