"""`manage.py audit_seal`: seal what is new in the audit log and publish it, as the job does every 5 seconds."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.actors import Actor
from audit.sealing import incarnations, keys, sealer
from audit.sealing.tree import BrokenTree
from audit.services import AuditUnavailable


class Command(BaseCommand):
    help = "Seal what is new in the audit log: leaves, signed checkpoint, publication. Exits 1 when something failed."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="compare and count; write nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument(
            "--new-incarnation",
            action="store_true",
            help="after a restore: go on under a new origin, although the checkpoints outside are ahead",
        )
        parser.add_argument("--reason", default="", help="why a new incarnation is begun; kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["reason"].strip()) != options["new_incarnation"]:
            raise CommandError("--new-incarnation and --reason belong together.")
        if options["new_incarnation"] and options["dry_run"]:
            raise CommandError("A new incarnation is not begun in a dry run; audit_seal --dry-run tells what is wrong.")
        begun = {}
        try:
            if options["new_incarnation"]:
                actor = Actor.command("audit_seal")
                begun = {"incarnation": incarnations.begin(actor=actor, reason=options["reason"].strip())}
            done = sealer.seal(dry_run=options["dry_run"])
            known = [str(key) for key in keys.verifier_keys()]
        except (
            sealer.SealRefused, sealer.SealerBusy, incarnations.NotNeeded, BrokenTree, AuditUnavailable,
            ImproperlyConfigured, DatabaseError, InterfaceError,
        ) as error:  # fmt: skip
            raise CommandError(" ".join(str(error).split())) from error
        figures = begun | done.figures()
        if options["json"]:
            self.stdout.write(json.dumps(figures | {"verifier_keys": known}, default=str))
        else:
            self.stdout.write(", ".join(f"{name} {value}" for name, value in figures.items()))
        if done.failures or done.faults:
            raise CommandError("; ".join([*done.failures.values(), *done.faults]))
