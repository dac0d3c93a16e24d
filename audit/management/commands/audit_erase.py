"""`manage.py audit_erase`: take what is personal about one person from the audit log; for operators."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from audit.actors import Actor
from audit.erasure import erasing, people
from audit.places import ArchiveFailed
from audit.services import AuditUnavailable


class Command(BaseCommand):
    help = (
        "Erase a person's address, source addresses, user agents and other personal values from the audit log; every"
        " hash stays valid. Exits 1 when a legal hold, an active account or another erasure is in the way, and when an"
        " address stands where erasure cannot reach."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, metavar="UUID|EMAIL", help="whose values are erased")
        parser.add_argument("--reason", default="", help="why, without names; it stays in the audit log")
        parser.add_argument("--dry-run", action="store_true", help="count what would be erased; write nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if not reason and not options["dry_run"]:
            raise CommandError("Give a --reason; it stays in the audit log.")
        try:
            person = people.find(options["user"], using=erasing.OWNER)
            if options["dry_run"]:
                done = erasing.survey(person)
            else:
                done = erasing.erase(person, actor=Actor.command("audit_erase"), reason=reason)
        except (
            people.UnknownPerson, people.AmbiguousPerson, people.StillActive, erasing.Held, erasing.ErasureBusy,
            erasing.UnfitReason, ArchiveFailed, AuditUnavailable, DatabaseError, InterfaceError,
        ) as error:  # fmt: skip
            raise CommandError(" ".join(str(error).split())) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), default=str))
        else:
            verb = "would erase" if options["dry_run"] else "erased"
            self.stdout.write(f"{verb} {done.entries} entries, and personal values of {done.about} by others")
            if not (done.entries or done.about or done.archived):
                self.stdout.write("nothing is left to erase: it was erased already, or the address is another one")
            if done.archived:
                self.stdout.write(f"{verb} {done.archived} in copies of months that left the log")
        if done.holds:
            raise CommandError(str(erasing.Held(done.holds)))
        if done.out_of_reach:
            raise CommandError(
                f"{done.out_of_reach} entries have an address outside the values that can be erased; the first is"
                f" {done.first_out_of_reach}."
            )
