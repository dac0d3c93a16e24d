"""`manage.py audit_verify`: is the audit log whole? Exit code 0 intact, 1 tampered, 2 cannot decide."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.archive.copies import check_copies
from audit.receipts import Receipt
from audit.sealing.sinks import S3Sink
from audit.verification.dropped import load
from audit.verification.findings import SHOWN, CannotDecide, Report
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verification.seals import Seals, verify_seals

INTACT, TAMPERED, UNDECIDED = 0, 1, 2


def _month(text: str) -> date:
    return datetime.strptime(f"{text}-01+0000", "%Y-%m-%d%z").date()


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


class Command(BaseCommand):
    help = "Verify rows, links, lane heads and seals of the audit log; exits 0 intact, 1 tampered, 2 cannot decide."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--month", type=_month, metavar="YYYY-MM", help="one month and its links; default: all")
        what.add_argument("--receipt", type=_receipt, metavar="R", help="one entry, by the receipt that it was given")
        what.add_argument(
            "--against",
            type=_place,
            metavar="DIR",
            help="all, and compare with the checkpoints in DIR, or in s3://bucket/prefix",
        )
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            if options["receipt"] is not None:
                self._verify_receipt(options["receipt"], as_json=options["json"])
                return
            dropped = load()
            report = verify(month=options["month"], dropped=dropped, progress=self._progress)
            seals = verify_seals(month=options["month"], against=options["against"], dropped=dropped)
            report.findings += seals.findings
            if options["month"] is None:
                findings, notices = check_copies(dropped)
                report.findings += findings
                seals.notices += notices
        except (CannotDecide, DatabaseError, InterfaceError, ImproperlyConfigured, OSError) as error:
            self._undecided(error, options["json"])
            sys.exit(UNDECIDED)
        seconds = time.monotonic() - began
        if options["json"]:
            document = report.as_json() | {"seals": seals.as_json(), "seconds": round(seconds, 3)}
            self.stdout.write(json.dumps(document, default=str))
        else:
            self._tell(report, seals, seconds)
        if not report.is_intact:
            sys.exit(TAMPERED)

    def _verify_receipt(self, receipt: Receipt, *, as_json: bool) -> None:
        report = verify_receipt(receipt)
        status = "tampered" if report.findings else "intact"
        if as_json:
            findings = [vars(finding) for finding in report.findings]
            document = {"status": status, "receipt": str(receipt), "findings": findings, **report.facts}
            self.stdout.write(json.dumps(document, default=str))
        elif report.findings:
            self.stdout.write(self.style.ERROR(f"TAMPERED: {receipt}"))
            for finding in report.findings:
                self.stdout.write(f"  {finding}")
        else:
            facts = "leaf {leaf_index} of {tree_size} under the signed checkpoint of {origin}".format(**report.facts)
            self.stdout.write(self.style.SUCCESS(f"intact: {facts}"))
            if month := report.facts["archived_month"]:
                self.stdout.write(f"  note: the entry was dropped after its retention; the copy of {month} has it")
        if report.findings:
            sys.exit(TAMPERED)

    def _tell(self, report: Report, seals: Seals, seconds: float) -> None:
        what = f"{report.rows} rows in {report.lanes} lanes and {len(report.months)} months, {seconds:.1f} s"
        sealed = f"{seals.leaves} of them sealed, {seals.signed} signed checkpoints, {seals.compared} compared outside"
        if report.is_intact:
            self.stdout.write(self.style.SUCCESS(f"intact: {what}; {sealed}"))
        else:
            self.stdout.write(self.style.ERROR(f"TAMPERED: {what}, {report.bad_rows} bad rows; {sealed}"))
            for finding in report.sorted_findings()[:SHOWN]:
                self.stdout.write(f"  {finding}")
        for notice in seals.notices:
            self.stdout.write(f"  note: {notice}")

    def _undecided(self, error: Exception, as_json: bool) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        if as_json:
            self.stdout.write(json.dumps({"status": "undecided", "reason": reason}))
        else:
            self.stderr.write(self.style.ERROR(f"cannot decide: {reason}"))

    def _progress(self, partition: str, rows: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{partition}: {rows} rows", ending="")
