"""`manage.py rollover_partitions`: make the months to come, retire those past their retention, or say what is due."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from audit.actors import Actor
from audit.archive import plan as plans
from audit.archive import retention
from audit.archive.plan import Due
from audit.services import AuditUnavailable
from forge.db import partitions
from forge.db.months import add_months, month_of


def _months(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 120:
        raise ArgumentTypeError(f"{text} is not a number of months from 0 to 120")
    return int(text)


class Command(BaseCommand):
    help = (
        "Makes the monthly partitions that are missing: the current month, the months ahead, and any hole. Then takes "
        "the next step of each month that is past its retention: detach, export, and days later drop. Safe to run at "
        "any time and by several at once. Exits 1 when something is wrong with what is there or could not be done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--months-ahead", type=_months, default=partitions.MONTHS_AHEAD, metavar="N")
        parser.add_argument(
            "--check",
            action="store_true",
            help=f"Change nothing; exit 1 when fewer than {partitions.LEAST_MONTHS_AHEAD} months are ahead, or months "
            "are past their retention and nothing may take them.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; list what would be done.")
        parser.add_argument(
            "--export-again",
            metavar="PARTITION",
            help="Copy this exported month anew, because its copy was lost or is wrong and was moved away.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except (AuditUnavailable, DatabaseError, InterfaceError) as error:
            raise CommandError(" ".join(str(error).split())) from error

    def _run(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        is_dry = options["check"] or options["dry_run"]
        if options["export_again"] and is_dry:
            raise CommandError("--export-again copies a month; it goes with neither --check nor --dry-run.")
        made = {} if is_dry else self._make(now, options["months_ahead"])
        would_make = _would_make(now, options["months_ahead"]) if options["dry_run"] else {}
        reports = partitions.check(now)
        bad = [report.table for report in reports if report.faults or (options["check"] and report.is_short)]
        due, taken, problems = self._retire(now, is_dry=is_dry, again=options["export_again"])
        if options["json"]:
            tables = [
                asdict(report) | {"made": made.get(report.table, []), "would_make": would_make.get(report.table, [])}
                for report in reports
            ]
            months = [one.as_json() for one in due]
            document = {"ok": not bad and not problems, "tables": tables, "due": months, "taken": taken}
            self.stdout.write(json.dumps(document | {"problems": problems}, default=str))
        else:
            for report in reports:
                self._print(report, made.get(report.table, []), would_make.get(report.table, []))
            self._print_retention(due, taken, problems)
        if bad:
            raise CommandError(f"Partitions need attention: {', '.join(bad)}.")
        if problems:
            raise CommandError(f"Retention needs attention: {'; '.join(problems)}.")

    def _make(self, now: datetime, months_ahead: int) -> dict[str, list[str]]:
        try:
            return partitions.ensure_ahead(now, months_ahead)
        except partitions.PartitionError as error:
            raise CommandError(f"Not every partition could be made: {error}") from error

    def _retire(
        self, now: datetime, *, is_dry: bool, again: str | None
    ) -> tuple[list[Due], dict[str, list[str]], list[str]]:
        """What is due afterwards, the partitions of each step that was taken, and what is wrong."""
        taken: dict[str, list[str]] = {}
        problems: list[str] = []
        actor = Actor.command("rollover_partitions")
        try:
            if not is_dry:
                done = (
                    retention.export_again(again, actor=actor, now=now)
                    if again
                    else retention.take_steps(actor=actor, now=now)
                )
                taken, problems = {step.value: names for step, names in done.taken.items() if names}, done.faults
            due = plans.plan(now)
            if not problems:
                problems = [f"{one.partition}: {'; '.join(one.faults)}" for one in due if one.faults]
                problems += retention.unarchived(now)
        except (retention.Busy, retention.NotExported, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        return due, taken, problems

    def _print(self, report: partitions.Report, made: list[str], would_make: list[str]) -> None:
        self.stdout.write(
            f"{report.table}: {report.partitions} partitions, {report.first} to {report.last}, "
            f"{report.months_ahead} months ahead"
        )
        for label, names in (("made", made), ("would make", would_make), ("FAULT", report.faults)):
            for name in names:
                self.stdout.write(f"  {label}: {name}")

    def _print_retention(self, due: list[Due], taken: dict[str, list[str]], problems: list[str]) -> None:
        for step, names in taken.items():
            for name in names:
                self.stdout.write(f"  {step}: {name}")
        for one in due:
            self.stdout.write(f"  due: {one}")
        for problem in problems:
            self.stdout.write(f"  FAULT: {problem}")


def _would_make(now: datetime, months_ahead: int) -> dict[str, list[str]]:
    first = month_of(now)
    last = add_months(first, months_ahead)
    return {
        table: [
            partitions.name_of(table, month)
            for month in partitions.missing(partitions.attached(table), first, last, partitions.archived(table))
        ]
        for table in partitions.existing_tables()
    }
