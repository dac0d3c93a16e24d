"""`manage.py audit_verify`: is the audit log whole? Exit code 0 intact, 1 tampered, 2 cannot decide."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.actors import Actor
from audit.management.arguments import as_month
from audit.models import AuditVerification
from audit.receipts import Receipt
from audit.sealing.sinks import S3Sink
from audit.services import AuditUnavailable
from audit.verification import runs
from audit.verification.findings import SHOWN, CannotDecide
from audit.verification.receipts import ReceiptReport
from audit.verification.runs import Run

INTACT, TAMPERED, UNDECIDED = 0, 1, 2
MOST_JOBS = 64

Scope = AuditVerification.Scope


def _receipt(text: str) -> Receipt:
    try:
        return Receipt.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _place(text: str) -> Path | S3Sink:
    try:
        return S3Sink(text) if text.startswith("s3:") else Path(text)
    except ImproperlyConfigured as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:40]} is not a whole number from 1 to {most}")
    return int(text)


class Command(BaseCommand):
    help = "Verify rows, links, lane heads, seals and events of the audit log; exits 0 intact, 1 tampered, 2 undecided."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--month", type=as_month, metavar="YYYY-MM", help="one month and its links; default: all")
        what.add_argument("--receipt", type=_receipt, metavar="R", help="one entry, by the receipt that it was given")
        what.add_argument(
            "--since-checkpoint",
            type=lambda text: _whole(text, 2**62),
            nargs="?",
            const=0,
            metavar="N",
            help="only what came after checkpoint N; without N, after what earlier verifications found intact",
        )
        parser.add_argument(
            "--against",
            type=_place,
            metavar="DIR",
            help="compare with the checkpoints in DIR, or in s3://bucket/prefix, too",
        )
        parser.add_argument(
            "--jobs", type=lambda text: _whole(text, MOST_JOBS), default=1, metavar="N", help="processes that share it"
        )
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
        parser.add_argument("--dry-run", action="store_true", help="keep no record of this verification")

    def handle(self, *args: Any, **options: Any) -> None:
        self._began = time.monotonic()
        run = _run_of(options)
        receipt: ReceiptReport | None = None
        try:
            _refuse_odd(options)
            if options["receipt"] is not None:
                receipt = runs.verify_receipt(run, options["receipt"])
            else:
                runs.verify_all(
                    run,
                    month=options["month"],
                    after=options["since_checkpoint"] or None,
                    against=options["against"],
                    jobs=options["jobs"],
                    progress=self._progress if self.stderr.isatty() else None,
                )
        except runs.UNDECIDABLE as error:
            run.reason = " ".join(str(error).split()) or type(error).__name__
        self._tell(run, receipt, as_json=options["json"])
        is_kept = options["dry_run"] or self._write_down(run)
        if run.outcome == AuditVerification.Outcome.TAMPERED:
            sys.exit(TAMPERED)
        if run.reason or not is_kept:
            sys.exit(UNDECIDED)

    def _write_down(self, run: Run) -> bool:
        """Whether the result could be kept: one that nobody can look up again is none."""
        try:
            runs.write_down(run, actor=Actor.command("audit_verify"))
        except (AuditUnavailable, DatabaseError, InterfaceError) as error:
            self.stderr.write(self.style.ERROR(f"this result could not be recorded: {' '.join(str(error).split())}"))
            return False
        return True

    def _tell(self, run: Run, receipt: ReceiptReport | None, *, as_json: bool) -> None:
        if run.reason:
            self._tell_undecided(run.reason, as_json)
        elif receipt is not None:
            self._tell_receipt(receipt, as_json)
        elif as_json:
            self.stdout.write(json.dumps(self._document(run), default=str))
        else:
            self._tell_report(run)

    def _document(self, run: Run) -> dict[str, Any]:
        document = run.report.as_json() | {"scope": run.scope, "seals": run.seals.as_json(), "events": run.events.rows}
        if run.since is not None:
            document |= {"after_checkpoint": run.since.checkpoint, "entries_not_looked_at": run.since.size}
        return document | {"notices": run.notices, "seconds": round(time.monotonic() - self._began, 3)}

    def _tell_report(self, run: Run) -> None:
        report, seals = run.report, run.seals
        where = f" and {len(report.months)} months" if report.months else ""
        what = f"{report.rows} rows in {report.lanes} lanes{where}, {time.monotonic() - self._began:.1f} s"
        sealed = f"{seals.leaves} leaves, {seals.signed} signed checkpoints, {seals.compared} compared outside"
        if report.is_intact:
            self.stdout.write(self.style.SUCCESS(f"intact: {what}; {sealed}"))
        else:
            self.stdout.write(self.style.ERROR(f"TAMPERED: {what}, {report.bad_rows} bad rows; {sealed}"))
            for finding in report.sorted_findings()[:SHOWN]:
                self.stdout.write(f"  {finding}")
        for notice in run.notices:
            self.stdout.write(f"  note: {notice}")

    def _tell_receipt(self, report: ReceiptReport, as_json: bool) -> None:
        if as_json:
            status = "tampered" if report.findings else "intact"
            findings = [vars(finding) for finding in report.findings]
            document = {"status": status, "receipt": str(report.receipt), "findings": findings, **report.facts}
            self.stdout.write(json.dumps(document, default=str))
        elif report.findings:
            self.stdout.write(self.style.ERROR(f"TAMPERED: {report.receipt}"))
            for finding in report.findings:
                self.stdout.write(f"  {finding}")
        else:
            facts = "leaf {leaf_index} of {tree_size} under the signed checkpoint of {origin}".format(**report.facts)
            self.stdout.write(self.style.SUCCESS(f"intact: {facts}"))
            if month := report.facts["archived_month"]:
                self.stdout.write(f"  note: the entry was dropped after its retention; the copy of {month} has it")

    def _tell_undecided(self, reason: str, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"status": "undecided", "reason": reason}))
        else:
            self.stderr.write(self.style.ERROR(f"cannot decide: {reason}"))

    def _progress(self, name: str, rows: int, share: float) -> None:
        rate = rows / (time.monotonic() - self._began)
        self.stderr.write(f"\r{name}: {rows:,} rows, {share:.0%}, {rate:,.0f} rows/s \x1b[K", ending="")


def _run_of(options: dict[str, Any]) -> Run:
    if options["receipt"] is not None:
        return Run(Scope.RECEIPT, str(options["receipt"]))
    if options["month"] is not None:
        return Run(Scope.MONTH, f"{options['month']:%Y-%m}")
    return Run(Scope.FULL if options["since_checkpoint"] is None else Scope.SINCE)


def _refuse_odd(options: dict[str, Any]) -> None:
    """Raises CannotDecide for options that mean nothing together."""
    narrow = "--receipt" if options["receipt"] is not None else "--month" if options["month"] is not None else None
    if narrow and options["against"] is not None:
        raise CannotDecide(f"--against compares the whole tree: it does not go with {narrow}.")
    if options["receipt"] is not None and options["jobs"] > 1:
        raise CannotDecide("--receipt is one entry: it does not go with --jobs.")
