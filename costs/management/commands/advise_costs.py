"""`manage.py advise_costs`: what the beat job of that name does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from costs.advice.sweep import advise
from forge.db.job_command import JobCommand


class Command(JobCommand):
    help = "Look at the use and the price of all machines: what is advised, and what accepted advice has saved."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return advise(now=now, dry_run=dry_run, actor=Actor.command("advise_costs"))
