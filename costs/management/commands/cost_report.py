"""`manage.py cost_report`: a showback or chargeback of a month as a file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import Actor
from audit.management.arguments import as_month
from costs.showback import services
from costs.showback.figures import Asked
from costs.showback.models import IssuedReport, ReportBy, ReportFormat, ReportKind
from forge.accounts.models import Organization, Team
from forge.api.errors import Problem


class Command(BaseCommand):
    help = "Writes the showback or chargeback of a UTC month as CSV, PDF or JSON; it is kept and audited as issued."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--month", required=True, type=as_month, metavar="YYYY-MM")
        parser.add_argument("--by", required=True, choices=ReportBy.values)
        parser.add_argument("--kind", choices=ReportKind.values, default=ReportKind.SHOWBACK.value)
        parser.add_argument("--team", metavar="SLUG", help="that team's costs alone")
        parser.add_argument("--format", choices=ReportFormat.values, default=ReportFormat.PDF.value)
        parser.add_argument("--to", required=True, type=Path, metavar="PATH", help="a file that is not there yet")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = _asked(options)
        path: Path = options["to"]
        try:
            issued = _write(asked, ReportFormat(options["format"]), path)
        except Problem as problem:
            raise CommandError(f"{problem.code}: {problem.detail or problem.title}") from problem
        except OSError as error:
            raise CommandError(str(error)) from error
        figures = {
            "report": str(issued.id),
            "file": str(path),
            "amount": str(issued.amount),
            "currency": issued.currency,
            "is_provisional": issued.is_provisional,
            "sha256": issued.sha256,
        }
        said = f"{path}: {issued.amount} {issued.currency}, {'provisional' if issued.is_provisional else 'final'}"
        self.stdout.write(json.dumps(figures) if options["json"] else said)


def _asked(options: dict[str, Any]) -> Asked:
    organization = Organization.objects.filter(slug=options["organization"]).first()
    if organization is None:
        raise CommandError(f"There is no organization {options['organization']!r}.")
    team = Team.objects.filter(organization=organization, slug=options["team"]).first()
    if options["team"] and team is None:
        raise CommandError(f"There is no team {options['team']!r} in it.")
    return Asked(organization, ReportKind(options["kind"]), ReportBy(options["by"]), options["month"], team)


def _write(asked: Asked, form: ReportFormat, path: Path) -> IssuedReport:
    """Write the whole file, or none. Raises FileExistsError, OSError, and what `written` does."""
    actor, now = Actor.command("cost_report").in_organization(asked.organization.id), timezone.now()
    with path.open("xb") as file:
        try:
            report = services.written(actor=actor, asked=asked, form=form, now=now)
            with report.file:
                shutil.copyfileobj(report.file, file)
            file.flush()
            os.fsync(file.fileno())
            return services.issue(actor=actor, report=report, now=now)
        except BaseException:
            path.unlink()
            raise
