"""`manage.py meter_costs`: what the beat does every minute, for the person on call."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from costs import metering
from forge.db.job_command import JobCommand


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 instant") from None
    at = at.replace(tzinfo=at.tzinfo or UTC)
    if at > timezone.now():
        raise ArgumentTypeError(f"{text} lies ahead; what has not happened costs nothing yet")
    return at


class Command(JobCommand):
    help = (
        "Books what machines have cost since they were last metered. Safe at any time, twice, late and beside others "
        "of its kind. Exits 1 when a machine could not be metered."
    )
    at: datetime | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--now", type=_instant, help="Business time; without it the clock's. Times need no zone.")

    def handle(self, *args: Any, **options: Any) -> None:
        self.at = options["now"]
        super().handle(*args, **options)

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        at = self.at or now
        try:
            figures = metering.meter(now=at, dry_run=dry_run)
        except metering.MeteringFailed as error:
            raise CommandError(str(error)) from error
        return {**figures, "lag_seconds": int(metering.lag(at).total_seconds())}
