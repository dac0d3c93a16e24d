"""`manage.py export_focus`: the costs of a month as a FOCUS 1.2 file, of any size."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from audit.management.arguments import as_month
from costs.focus import services
from costs.focus.writing import FORMATS
from costs.models import CostRecord
from forge.accounts.models import Organization
from forge.api.spools import NoRoom
from forge.db.months import add_months


class Command(BaseCommand):
    help = "Writes the organization's cost records of a UTC month as a FOCUS 1.2 file, CSV or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--month", required=True, type=as_month, metavar="YYYY-MM")
        parser.add_argument("--to", required=True, type=Path, metavar="PATH", help="a file that is not there yet")
        parser.add_argument("--format", choices=sorted(FORMATS), default="focus-csv")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        month: date = options["month"]
        end = add_months(month, 1)
        try:
            size = _write(organization, month, end, options["format"], options["to"])
        except (OSError, NoRoom) as error:
            raise CommandError(str(error)) from error
        figures = {"file": str(options["to"]), "month": f"{month:%Y-%m}", "format": options["format"], "size": size}
        self.stdout.write(json.dumps(figures) if options["json"] else f"{options['to']}: {size} bytes")


def _write(organization: Organization, start: date, end: date, form: str, path: Path) -> int:
    """Write the file beside its place and put it there whole; returns its size. Raises FileExistsError, OSError."""
    part = path.with_name(f".{path.name}.part")
    with path.open("xb"), part.open("xb") as file:
        try:
            _, content = services.export(
                actor=Actor.command("export_focus").in_organization(organization.id),
                records=services.of_days(CostRecord.objects.filter(organization=organization), start, end),
                form=form,
                start=start,
                end=end,
                filters={},
                is_bounded=False,
                folder=path.parent,
            )
            with content:
                file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        except BaseException:
            part.unlink()
            path.unlink()
            raise
    part.replace(path)
    return size
