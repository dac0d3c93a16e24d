"""`manage.py quarantine_leavers`: what the beat job of that name does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.db.job_command import JobCommand
from workspaces.leavers.sweep import look_after_leavers


class Command(JobCommand):
    help = "Bar and stop the machines of people who are switched off, and give those back whose owner has returned."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return look_after_leavers(now=now, dry_run=dry_run, actor=Actor.command("quarantine_leavers"))
