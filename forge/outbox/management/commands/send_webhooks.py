"""`manage.py send_webhooks`: what the beat does every ten seconds, for the person on call."""

from datetime import datetime
from typing import Any

from forge.db.job_command import JobCommand
from forge.outbox.webhooks import delivering


class Command(JobCommand):
    help = "Delivers what is due to webhooks, with growing pauses after a failure. Safe beside workers and others."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return {"due": delivering.due(now=now)} if dry_run else delivering.send(now=now)
