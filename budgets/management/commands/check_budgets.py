"""`manage.py check_budgets`: what the beat does every minute, for the person on call."""

import json
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import Actor
from budgets import sweep


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 instant") from None
    return at.replace(tzinfo=at.tzinfo or UTC)


class Command(BaseCommand):
    help = (
        "Writes the next period of recurring budgets, adopts those that have begun, ends what is held in those that "
        "are over, calls off launches that came to nothing and fires marks (send_mails sends their mail). Safe at any "
        "time and beside others of its kind. Exits 1 when a budget could not be looked after."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--now", type=_instant, default=None, help="Business time; without it the clock's.")
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; count what is due.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = options["now"] or timezone.now()
        actor = Actor.command("check_budgets")
        try:
            figures = sweep.check_budgets(actor=actor, now=now, dry_run=options["dry_run"])
        except sweep.BudgetsFailed as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"ok": True, "dry_run": options["dry_run"], **figures}))
            return
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in figures.items())
        self.stdout.write(f"{'Due: ' if options['dry_run'] else ''}{told}")
