"""`manage.py import_bill`: book the provider's bill of a month, of any size, from a file on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import Actor
from costs.bills.importing import import_file
from forge.accounts.models import Organization
from forge.api.errors import Problem


class Command(BaseCommand):
    help = (
        "Books a CUR or FOCUS file (CSV, gzipped CSV or Parquet) of one closed month: the records of its machines "
        "become BILLED. Cut off, it goes on when it is given the same file again; a booked file changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG", help="whose bill it is")
        parser.add_argument("--file", required=True, type=Path, metavar="PATH", help="the bill")
        parser.add_argument("--dry-run", action="store_true", help="read and match it; change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        try:
            figures = import_file(
                actor=Actor.command("import_bill").in_organization(organization.id),
                organization=organization,
                path=options["file"],
                now=timezone.now(),
                dry_run=options["dry_run"],
            )
        except Problem as problem:
            raise CommandError(f"{problem.code}: {problem.detail or problem.title}") from problem
        except OSError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(figures, default=str) if options["json"] else _text(figures))


def _text(figures: dict[str, Any]) -> str:
    """The figures for people: a line for the bill, one per bundle type, one per reason of what is not booked."""
    lines = [
        f"{figures['format']} {figures['month']}: {figures['lines']} lines, {figures['machine_lines']} of machines "
        f"with {figures['machine_amount']} {figures['currency']}; {figures['changed_records']} records changed"
        + (" (this file was booked before)" if figures["is_known"] else "")
    ]
    for row in figures["drift"]:
        percent = "" if row["drift_percent"] is None else f" ({row['drift_percent']} %)"
        lines.append(
            f"{row['bundle_type']}: {row['machines']} machines, metered {row['metered_cost']}, billed "
            f"{row['billed_cost']}, drift {row['drift']}{percent}"
        )
    absent = figures["not_billed"]
    lines.append(f"not on the bill: {absent['machines']} machines, metered {absent['metered_cost']}")
    lines += [f"not booked, {row['reason']}: {row['lines']} lines, {row['amount']}" for row in figures["gaps"]]
    return "\n".join(lines)
