"""`manage.py send_mails`: what the beat does every 15 seconds, for the person on call."""

from datetime import datetime
from typing import Any

from forge.db.job_command import JobCommand
from forge.outbox import sending


class Command(JobCommand):
    help = (
        "Sends the mail that is due, with growing pauses after a failure. Safe beside workers and others of its kind. "
        "Exits 1 when the mail server cannot be reached."
    )

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        return {"due": sending.due(now=now)} if dry_run else sending.send(now=now)
