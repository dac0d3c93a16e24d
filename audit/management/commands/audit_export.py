"""`manage.py audit_export`: months of the audit log as a bundle that anybody can check without Forge."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, transaction

from audit import actions
from audit.actors import Actor
from audit.archive import bundles
from audit.archive.bundles import Bundle, MonthGone, NothingSealed
from audit.archive.files import FolderExists, check_free
from audit.management.arguments import as_month
from audit.sealing.tree import BrokenTree
from audit.services import AuditUnavailable, record


class Command(BaseCommand):
    help = "Write sealed months of the audit log as a bundle for `python -m audit.verifier`; default: the whole log."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a folder that is new or empty")
        parser.add_argument("--month", type=as_month, metavar="YYYY-MM", help="this month alone")
        parser.add_argument("--from", type=as_month, dest="first", metavar="YYYY-MM", help="the first month")
        parser.add_argument("--until", type=as_month, metavar="YYYY-MM", help="the last month, included")
        parser.add_argument("--dry-run", action="store_true", help="say what would be exported; write nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        first, until = self._months(options)
        try:
            check_free(options["to"])
            if options["dry_run"]:
                self._tell(self._plan(first, until), options)
            else:
                self._tell(_export(options["to"].absolute(), first, until), options)
        except (
            FolderExists, MonthGone, NothingSealed, BrokenTree, AuditUnavailable, ImproperlyConfigured, DatabaseError,
            InterfaceError, OSError,
        ) as error:  # fmt: skip
            raise CommandError(" ".join(str(error).split())) from error

    def _months(self, options: dict[str, Any]) -> tuple[date | None, date | None]:
        month, first, until = options["month"], options["first"], options["until"]
        if month is not None and (first is not None or until is not None):
            raise CommandError("--month stands alone; --from and --until name a range.")
        if first is not None and until is not None and first > until:
            raise CommandError(f"The range is reversed: --from {first:%Y-%m} --until {until:%Y-%m}.")
        return (month, month) if month is not None else (first, until)

    def _plan(self, first: date | None, until: date | None) -> dict[str, Any]:
        plan = bundles.plan(first=first, until=until)
        return {
            "rows": plan.rows,
            "leaves": [plan.extent.low, plan.extent.high],
            "is_complete": plan.extent.is_complete,
        }

    def _tell(self, facts: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        self.stdout.write(", ".join(f"{name} {_in_words(value)}" for name, value in facts.items()))
        if not options["dry_run"]:
            self.stdout.write(f"Check it with: python -m audit.verifier {options['to']} --key NAME+ID+BASE64")


def _in_words(value: Any) -> str:
    """A range as `A to B`, everything else as it is."""
    pair = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(pair, list):
        return str(value)
    first, end = ("-" if one is None else str(one) for one in pair)
    return f"{first} to {end}"


def _export(folder: Path, first: date | None, until: date | None) -> dict[str, Any]:
    """Write the bundle; the entry that tells of it commits before the folder has its name."""
    with bundles.write(folder, first=first, until=until) as bundle:
        facts = _facts(bundle)
        with transaction.atomic():
            record(
                actor=Actor.command("audit_export"),
                action=actions.AUDIT_EXPORT,
                description=f"Exported {facts['entries']} entries as a bundle",
                resource_type="AuditLog",
                context={"format": "bundle", **{name: value for name, value in facts.items() if name != "folder"}},
            )
    return facts


def _facts(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "folder": str(bundle.folder),
        "entries": manifest["entries"],
        "unsealed": manifest["unsealed"],
        "range": manifest["range"],
        "leaves": [manifest["leaves"]["low"], manifest["leaves"]["high"]],
        "is_complete": manifest["is_complete"],
        "manifest_sha256": bundle.manifest_hash,
    }
