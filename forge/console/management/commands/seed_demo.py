"""`manage.py seed_demo`: the demo's organization, sixty days of its life, its budgets and its sign-ins."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import Actor
from forge.accounts.models import Organization
from forge.demo.seed.fleet import seed_fleet
from forge.demo.seed.history import seed_history
from forge.demo.seed.money import seed_budgets
from forge.demo.seed.organization import SLUG, seed_organization
from forge.demo.seed.sign_ins import known_password, write_sign_ins
from forge.demo.seed.streams import seed_streams
from forge.demo.seed.usage import seed_usage


class Command(BaseCommand):
    help = "Fill an empty installation with demo data against the AWS simulator. Run again, it adds what is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say whether anything would be made.")
        parser.add_argument("--json", action="store_true", help="Print the sign-ins as one JSON document.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.AWS_ENDPOINT_URL:
            raise CommandError("AWS_ENDPOINT_URL is not set: demo data are made against the AWS simulator only.")
        if Organization.objects.exclude(slug=SLUG).exists():
            raise CommandError("This installation has organizations of its own; demo data would stand among them.")
        if options["dry_run"]:
            there = Organization.objects.filter(slug=SLUG).exists()
            self.stdout.write("Demo data are there." if there else "Demo data would be made.")
            return
        now = timezone.now()
        actor = Actor.command("seed_demo")
        password = known_password()
        seeded = seed_organization(actor=actor, now=now, password=password)
        seed_history(seeded=seeded, now=now)
        seed_streams(actor=actor, seeded=seeded, now=now)
        seed_fleet(actor=actor, seeded=seeded, now=now)
        seed_budgets(actor=actor, seeded=seeded, now=now)
        seed_usage(actor=actor, seeded=seeded, now=now)
        users = write_sign_ins(actor=actor, seeded=seeded, password=password, now=now)
        if options["json"]:
            self.stdout.write(json.dumps(users))
        else:
            self.stdout.write(f"{len(seeded.people)} people, {len(users)} of them sign in.")
