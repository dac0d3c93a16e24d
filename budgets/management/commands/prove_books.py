"""`manage.py prove_books`: what the beat does every night, for the person on call."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from audit.actors import Actor
from budgets import proof
from forge.db.job_command import JobCommand


class Command(JobCommand):
    help = (
        "Holds daily sums, sums by tag and what budgets have spent against the cost records, and keeps what differs as "
        "faults of the books. Safe at any time. Exits 1 when something differs."
    )
    every_day = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--all", action="store_true", help="Every day and budget, not only those that are due.")

    def handle(self, *args: Any, **options: Any) -> None:
        self.every_day = options["all"]
        super().handle(*args, **options)

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        actor = Actor.command("prove_books")
        return proof.prove(actor=actor, now=now, every_day=self.every_day, dry_run=dry_run)
