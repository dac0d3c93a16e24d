"""`manage.py reconcile_workspaces`: what the beat job of that name does, for one account if it is named."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from audit.actors import Actor
from forge.db.job_command import JobCommand
from workspaces.models import ProviderAccount
from workspaces.reconcile import reconcile


class Command(JobCommand):
    help = "Compare our machines with what AWS shows, follow it, and list what is nobody's."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--account", metavar="NAME", help="Only provider accounts of this name.")

    def handle(self, *args: Any, **options: Any) -> None:
        self._accounts = ProviderAccount.objects.all()
        if (name := options["account"]) is not None:
            self._accounts = self._accounts.filter(name=name)
            if not self._accounts.exists():
                raise CommandError(f"There is no provider account {name!r}.")
        super().handle(*args, **options)

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return reconcile(now=now, dry_run=dry_run, actor=Actor.command("reconcile_workspaces"), accounts=self._accounts)
