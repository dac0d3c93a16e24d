"""`manage.py audit_verify`: is the audit log whole? Exit code 0 intact, 1 tampered, 2 cannot decide."""

from __future__ import annotations

import json
import sys
import time
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.verification import SHOWN, CannotDecide, Report, verify

INTACT, TAMPERED, UNDECIDED = 0, 1, 2


def _month(text: str) -> date:
    return datetime.strptime(f"{text}-01+0000", "%Y-%m-%d%z").date()


class Command(BaseCommand):
    help = "Verify rows, links and lane heads of the audit log; exits 0 intact, 1 tampered, 2 cannot decide."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", type=_month, metavar="YYYY-MM", help="one month and its links; default: all")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            report = verify(month=options["month"], progress=self._progress)
        except (CannotDecide, DatabaseError, InterfaceError, ImproperlyConfigured) as error:
            self._undecided(error, options["json"])
            sys.exit(UNDECIDED)
        seconds = time.monotonic() - began
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json() | {"seconds": round(seconds, 3)}, default=str))
        else:
            self._tell(report, seconds)
        if not report.is_intact:
            sys.exit(TAMPERED)

    def _tell(self, report: Report, seconds: float) -> None:
        what = f"{report.rows} rows in {report.lanes} lanes and {len(report.months)} months, {seconds:.1f} s"
        if report.is_intact:
            self.stdout.write(self.style.SUCCESS(f"intact: {what}"))
            return
        self.stdout.write(self.style.ERROR(f"TAMPERED: {what}, {report.bad_rows} bad rows"))
        for finding in report.sorted_findings()[:SHOWN]:
            self.stdout.write(f"  {finding}")

    def _undecided(self, error: Exception, as_json: bool) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        if as_json:
            self.stdout.write(json.dumps({"status": "undecided", "reason": reason}))
        else:
            self.stderr.write(self.style.ERROR(f"cannot decide: {reason}"))

    def _progress(self, partition: str, rows: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{partition}: {rows} rows", ending="")
