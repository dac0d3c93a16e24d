"""The shape of a command that does what a job of the schedule does, for the people on call."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forge.db.jobs import JobFault


class JobCommand(BaseCommand):
    """Subclasses name `work(now=…, dry_run=…) -> dict` of figures; it runs at once, whatever the schedule says.

    A JobFault still prints its figures, and then ends the command with exit code 1.
    """

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        raise NotImplementedError

    def text(self, figures: dict[str, Any]) -> str:
        """The figures for people to read."""
        return ", ".join(f"{name} {value}" for name, value in figures.items())

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; say what would be done.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        fault: JobFault | None = None
        try:
            figures = self.work(now=timezone.now(), dry_run=options["dry_run"])
        except JobFault as error:
            fault, figures = error, error.figures
        if options["json"]:
            self.stdout.write(json.dumps(figures, default=str))
        else:
            self.stdout.write(self.text(figures))
        if fault is not None:
            raise CommandError(str(fault)) from fault
