"""The reports of the month that is over, to those who subscribe to them: from the 1st on, each once.

A report is made once per scope, kind and dimension. That it was issued, its bytes, the mails to its subscribers and the
mark that they were served commit together: a run that is killed before has done nothing, and the next one does it; one
that comes after finds nobody left. Two runs at once wait for each other on the subscriptions' rows.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet

from audit.actors import Actor
from costs.showback import services
from costs.showback.figures import Asked
from costs.showback.head import metered_through
from costs.showback.letters import KIND
from costs.showback.models import ReportBy, ReportFile, ReportFormat, ReportKind, ReportSubscription
from costs.showback.permissions import may_have
from forge.accounts.models import Organization, Team
from forge.db.jobs import JobFault
from forge.db.months import add_months, month_of
from forge.outbox.services import Owed, owe

logger = logging.getLogger(__name__)

PATIENCE = timedelta(hours=18)
"""So long a report waits for metering to come to the month's end; then it goes out as provisional."""
KEPT = timedelta(days=14)
"""So long a report's bytes stay for mail that is tried again: longer than it is tried."""
RUN_SECONDS = 120.0
"""After this a run leaves the rest to the next one, so that other jobs of its queue get their turn."""


class ReportsFailed(JobFault):
    """Some reports could not be made; the others were."""


@dataclass
class Figures:
    """Counts of one run; `waiting` reports wait for metering, `left` ones for the next run."""

    reports: int = 0
    mails: int = 0
    waiting: int = 0
    failed: int = 0
    left: int = 0


@dataclass(frozen=True)
class Due:
    """A report that somebody waits for."""

    organization_id: uuid.UUID
    team_id: uuid.UUID | None
    kind: str
    by: str

    def __str__(self) -> str:
        return f"{self.kind} by {self.by} of {self.team_id or self.organization_id}"


def send(*, actor: Actor, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Issue and mail what is due of the month before `now`: {reports, mails, waiting, failed, left}.

    A dry run counts what would be made and changes nothing. Raises ReportsFailed at the end when some failed.
    """
    figures, began = Figures(), time.monotonic()
    faults: list[str] = []
    month = add_months(month_of(now), -1)
    if not dry_run:
        ReportFile.objects.filter(kept_until__lte=now).delete()
    for due in _due(month):
        if time.monotonic() - began > RUN_SECONDS:
            figures.left += 1
        else:
            _attempt(due, month, actor, now, figures, faults, dry_run=dry_run)
    if faults:
        raise ReportsFailed(f"{len(faults)} reports of {month:%Y-%m} failed: {'; '.join(faults[:20])}", asdict(figures))
    return asdict(figures)


def _attempt(
    due: Due, month: date, actor: Actor, now: datetime, figures: Figures, faults: list[str], *, dry_run: bool
) -> None:
    """One report; one that fails keeps no other from being made."""
    asked = _asked(due, month)
    if metered_through(asked, now) < asked.ends_at and now < asked.ends_at + PATIENCE:
        figures.waiting += 1
    elif dry_run:
        figures.reports += 1
        figures.mails += _subscribers(due, month).count()
    else:
        try:
            mails = _serve(due, asked, actor.for_one_of(due.organization_id), now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("a report of %s of organization %s could not be made", month, due.organization_id)
            figures.failed += 1
            faults.append(f"{due}: {type(error).__name__}")
        else:
            figures.reports += mails > 0
            figures.mails += mails


def _serve(due: Due, asked: Asked, actor: Actor, now: datetime) -> int:
    """Make the report and owe it to its subscribers, in one transaction; how many mails."""
    with transaction.atomic():
        locked = _subscribers(due, asked.month).select_for_update(of=("self",), no_key=True)
        subscriptions = list(locked.select_related("user").order_by("id"))
        people = [one.user for one in subscriptions if _gets(one)]
        if people:
            report = services.written(actor=actor, asked=asked, form=ReportFormat.PDF, now=now)
            with report.file:
                issued = services.issue(actor=actor, report=report, now=now, is_scheduled=True)
                content = report.file.read()
            ReportFile.objects.create(report=issued, content=content, kept_until=now + KEPT)
            owe(
                [
                    Owed(
                        organization_id=due.organization_id,
                        recipient_id=person.id,
                        kind=KIND,
                        target_type="IssuedReport",
                        target_id=issued.id,
                        once=f"{asked.month:%Y-%m}:{due.team_id or 'all'}:{due.kind}:{due.by}",
                        facts={"report": str(issued.id)},
                        correlation_id=actor.correlation_id,
                    )
                    for person in people
                ],
                now=now,
            )
        ids = [one.id for one in subscriptions]
        ReportSubscription.objects.filter(id__in=ids).update(served_month=asked.month, updated_at=now)
    return len(people)


def _gets(one: ReportSubscription) -> bool:
    """Whether the person is still there, and may still have the report."""
    return one.user.is_active and may_have(one.user, one.organization_id, one.team_id)


def _waiting(month: date) -> QuerySet[ReportSubscription]:
    """Subscriptions made before the month was over that have not been served of it, where people are let in."""
    over = datetime.combine(add_months(month, 1), clock.min, UTC)
    unserved = Q(served_month=None) | Q(served_month__lt=month)
    return ReportSubscription.objects.filter(unserved, created_at__lt=over, organization__is_active=True)


def _due(month: date) -> Iterator[Due]:
    """What is waited for, each once, in the order of organizations."""
    names = ("organization_id", "team_id", "kind", "by")
    for row in list(_waiting(month).order_by(*names).values_list(*names).distinct()):
        yield Due(*row)


def _subscribers(due: Due, month: date) -> QuerySet[ReportSubscription]:
    of_team = Q(team_id=due.team_id) if due.team_id else Q(team__isnull=True)
    return _waiting(month).filter(of_team, organization_id=due.organization_id, kind=due.kind, by=due.by)


def _asked(due: Due, month: date) -> Asked:
    organization = Organization.objects.get(pk=due.organization_id)
    team = Team.objects.get(pk=due.team_id) if due.team_id else None
    return Asked(organization, ReportKind(due.kind), ReportBy(due.by), month, team)
