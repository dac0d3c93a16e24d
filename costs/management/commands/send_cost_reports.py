"""`manage.py send_cost_reports`: what the beat does every five minutes from the 1st on, for the person on call."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from costs.showback import sending
from forge.db.job_command import JobCommand


class Command(JobCommand):
    help = (
        "Issues the reports of the last UTC month and mails them to those who subscribe to them; each once, however "
        "often it runs. Exits 1 when one could not be made."
    )

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return sending.send(actor=Actor.command("send_cost_reports"), now=now, dry_run=dry_run)
