"""`doctor`: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from forge.console.doctor import FAULT, OK, findings, worst


class Command(BaseCommand):
    help = (
        "Check database, clocks, partitions, prices, seals, workers, mail, sinks and what AWS allows; change nothing."
    )
    requires_system_checks = []  # they are among what it tells

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--near", action="store_true", help="Talk to nobody but the database and Redis.")
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = findings(timezone.now(), far=not options["near"])
        if options["json"]:
            self.stdout.write(json.dumps({"status": worst(found), "findings": [asdict(one) for one in found]}))
        else:
            for one in found:
                self.stdout.write(f"{one.status:8}{one.check}: {one.text}".rstrip(": "))
                if one.status != OK and one.mend:
                    self.stdout.write(f"{'':8}→ {one.mend}")
        if worst(found) == FAULT:
            sys.exit(1)
