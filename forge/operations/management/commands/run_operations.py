"""`manage.py run_operations`: carry out what is due, as the beat does, for the person on call."""

import json
import time
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forge.operations import handlers, runner
from forge.operations.models import Operation

PAUSE_SECONDS = 5.0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


class Command(BaseCommand):
    help = (
        "Carries out what is due, expired leases included, as the beat does every few seconds, and goes on until "
        "interrupted; --once ends when nothing is due. Safe beside workers and others of its kind. "
        "Exits 1 when an operation is due that nothing here can carry out, or that failed unexpectedly in this run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="End when nothing is due or --limit is reached.")
        parser.add_argument("--limit", type=_positive, default=runner.SWEEP_LIMIT, help="Claims per round.")
        parser.add_argument("--dry-run", action="store_true", help="Claim nothing; list what is due.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document per round.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._tell_due(timezone.now(), options)
            return
        while not options["once"]:
            self._round(options)
            time.sleep(PAUSE_SECONDS)
        if self._round(options):
            raise CommandError("Some operations need attention.")

    def _round(self, options: dict[str, Any]) -> bool:
        ways = runner.run_due(limit=options["limit"])
        stranded = list(Operation.objects.due(timezone.now()).exclude(kind__in=handlers.kinds())[: options["limit"]])
        if options["json"]:
            stranded_ids = [str(operation.id) for operation in stranded]
            self._print_json({"claimed": ways.total(), "ways": dict(ways), "without_handler": stranded_ids})
        else:
            told = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
            self.stdout.write(f"{ways.total()} carried out{': ' if told else ''}{told}")
            for operation in stranded:
                self.stdout.write(f"  FAULT: {operation} is due and has no handler")
        return bool(stranded) or ways[runner.FAULT] > 0

    def _tell_due(self, now: datetime, options: dict[str, Any]) -> None:
        due = [
            {
                "id": str(operation.id),
                "kind": operation.kind,
                "target": f"{operation.target_type} {operation.target_id}",
                "status": operation.status,
                "due_at": operation.due_at.isoformat(),
                "attempts": operation.attempt,
                "has_handler": operation.kind in handlers.kinds(),
            }
            for operation in Operation.objects.due(now)[: options["limit"]]
        ]
        if options["json"]:
            self._print_json({"due": due})
            return
        self.stdout.write(f"{len(due)} due")
        for row in due:
            self.stdout.write("  {due_at} {kind} {id} {status}, {attempts} attempts, {target}".format(**row))

    def _print_json(self, document: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(document))
