"""`manage.py rollover_partitions`: make the months to come, or say what is there and what is wrong with it."""

import json
from argparse import ArgumentTypeError
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forge.db import partitions
from forge.db.months import add_months, month_of


def _months(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 120:
        raise ArgumentTypeError(f"{text} is not a number of months from 0 to 120")
    return int(text)


class Command(BaseCommand):
    help = (
        "Makes the monthly partitions that are missing: the current month, the months ahead, and any hole. "
        "Safe to run at any time and by several at once. Exits 1 when something is wrong with what is there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--months-ahead", type=_months, default=partitions.MONTHS_AHEAD, metavar="N")
        parser.add_argument(
            "--check",
            action="store_true",
            help=f"Make nothing; exit 1 when fewer than {partitions.LEAST_MONTHS_AHEAD} months are ahead.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Make nothing; list what would be made.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        is_dry = options["check"] or options["dry_run"]
        made = {} if is_dry else self._make(now, options["months_ahead"])
        would_make = _would_make(now, options["months_ahead"]) if options["dry_run"] else {}
        reports = partitions.check(now)
        is_bad = [report for report in reports if report.faults or (options["check"] and report.is_short)]
        if options["json"]:
            tables = [
                asdict(report) | {"made": made.get(report.table, []), "would_make": would_make.get(report.table, [])}
                for report in reports
            ]
            self.stdout.write(json.dumps({"ok": not is_bad, "tables": tables}, default=str))
        else:
            for report in reports:
                self._print(report, made.get(report.table, []), would_make.get(report.table, []))
        if is_bad:
            raise CommandError(f"Partitions need attention: {', '.join(report.table for report in is_bad)}.")

    def _make(self, now: datetime, months_ahead: int) -> dict[str, list[str]]:
        try:
            return partitions.ensure_ahead(now, months_ahead)
        except partitions.PartitionError as error:
            raise CommandError(f"Not every partition could be made: {error}") from error

    def _print(self, report: partitions.Report, made: list[str], would_make: list[str]) -> None:
        self.stdout.write(
            f"{report.table}: {report.partitions} partitions, {report.first} to {report.last}, "
            f"{report.months_ahead} months ahead"
        )
        for label, names in (("made", made), ("would make", would_make), ("FAULT", report.faults)):
            for name in names:
                self.stdout.write(f"  {label}: {name}")


def _would_make(now: datetime, months_ahead: int) -> dict[str, list[str]]:
    first = month_of(now)
    last = add_months(first, months_ahead)
    return {
        table: [
            partitions.name_of(table, month) for month in partitions.missing(partitions.attached(table), first, last)
        ]
        for table in partitions.existing_tables()
    }
