"""`manage.py reconcile_workspaces`: what the beat job of that name does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.db.job_command import JobCommand
from workspaces.reconcile import reconcile


class Command(JobCommand):
    help = "Compare our machines with what AWS shows and follow it."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return reconcile(now=now, dry_run=dry_run, actor=Actor.command("reconcile_workspaces"))
