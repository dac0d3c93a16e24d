"""`manage.py enforce_lifecycle`: what the beat job of that name does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.db.job_command import JobCommand
from workspaces.expiry import end_expired


class Command(JobCommand):
    help = "End machines whose agreed lifetime is over and that nobody keeps alive."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return end_expired(now=now, dry_run=dry_run, actor=Actor.command("enforce_lifecycle"))
