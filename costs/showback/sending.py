"""The reports of the months that are over, to those who subscribe to them: from the 1st on, each once.

A report is made once per month, scope, kind and dimension; where it had to go out as provisional, once more when it is
final. That it was issued, its bytes, the mails to its subscribers and the mark that they were served commit together: a
run that is killed before has done nothing, and the next one does it; one that comes after finds nobody left. Two runs
at once wait for each other on the subscriptions' rows. Months that passed while no run came follow in their order.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from audit.actors import Actor
from costs.showback import services
from costs.showback.figures import Asked
from costs.showback.head import metered_through
from costs.showback.letters import KIND
from costs.showback.models import IssuedReport, ReportBy, ReportFile, ReportFormat, ReportKind, ReportSubscription
from costs.showback.permissions import may_have
from forge.accounts.models import Organization, Team, User
from forge.db.jobs import JobFault
from forge.db.months import add_months, month_of, months
from forge.outbox.services import Owed, owe

logger = logging.getLogger(__name__)

PATIENCE = timedelta(hours=18)
"""So long a report waits for metering to come to the month's end; then it goes out as provisional."""
KEPT = timedelta(days=14)
"""So long a report's bytes stay for mail that is tried again: longer than it is tried."""
BEHIND = 12
"""So many months back reports are still sent that nobody sent in time."""
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
    """A report that somebody waits for; `is_follow_up` where they have the provisional one."""

    organization_id: uuid.UUID
    team_id: uuid.UUID | None
    kind: str
    by: str
    month: date
    is_follow_up: bool = False

    def __str__(self) -> str:
        return f"{self.kind} by {self.by} of {self.team_id or self.organization_id}, {self.month:%Y-%m}"

    @property
    def series(self) -> tuple[object, ...]:
        """What its months are months of: they go out in their order."""
        return self.organization_id, self.team_id, self.kind, self.by, self.is_follow_up

    @property
    def once(self) -> str:
        """What tells its mail from every other one to the same person."""
        final = ":final" if self.is_follow_up else ""
        return f"{self.month:%Y-%m}:{self.team_id or 'all'}:{self.kind}:{self.by}{final}"


def send(*, actor: Actor, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Issue and mail what is due of the months before `now`: {reports, mails, waiting, failed, left}.

    A dry run counts what would be made and changes nothing. Raises ReportsFailed at the end when some failed.
    """
    figures, began = Figures(), time.monotonic()
    faults: list[str] = []
    last = add_months(month_of(now), -1)
    if not dry_run:
        ReportFile.objects.filter(kept_until__lte=now).delete()
    stuck: set[tuple[object, ...]] = set()
    for due in _due(last):
        if time.monotonic() - began > RUN_SECONDS:
            figures.left += 1
        elif due.series in stuck:
            figures.waiting += 1
        elif not _attempt(due, actor, now, figures, faults, dry_run=dry_run):
            stuck.add(due.series)
    if faults:
        raise ReportsFailed(f"{len(faults)} reports failed: {'; '.join(faults[:20])}", asdict(figures))
    return asdict(figures)


def _attempt(due: Due, actor: Actor, now: datetime, figures: Figures, faults: list[str], *, dry_run: bool) -> bool:
    """One report; False where it waits or has failed, which keeps no other series from going on."""
    asked = _asked(due)
    is_metered = metered_through(asked, now) >= asked.ends_at
    if not is_metered and (due.is_follow_up or now < asked.ends_at + PATIENCE):
        figures.waiting += not due.is_follow_up
        return False
    if dry_run:
        people = _people(_subscribers(due).select_related("user"))
        figures.reports += bool(people)
        figures.mails += len(people)
        return True
    try:
        mails = _serve(due, asked, actor.for_one_of(due.organization_id), now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("a report of %s of organization %s could not be made", due.month, due.organization_id)
        figures.failed += 1
        faults.append(f"{due}: {type(error).__name__}")
        return False
    figures.reports += mails > 0
    figures.mails += mails
    return True


def _serve(due: Due, asked: Asked, actor: Actor, now: datetime) -> int:
    """Make the report and owe it to its subscribers, in one transaction; how many mails."""
    with transaction.atomic():
        locked = _subscribers(due).select_for_update(of=("self",), no_key=True)
        subscriptions = list(locked.select_related("user").order_by("id"))
        people = _people(subscriptions)
        if due.is_follow_up and not _unfinished(due.month).filter(_of(due), month=due.month).exists():
            return 0  # another run was quicker
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
                        once=due.once,
                        facts={"report": str(issued.id)},
                        correlation_id=actor.correlation_id,
                    )
                    for person in people
                ],
                now=now,
            )
        if not due.is_follow_up:
            ids = [one.id for one in subscriptions]
            ReportSubscription.objects.filter(id__in=ids).update(served_month=asked.month, updated_at=now)
    return len(people)


def _people(subscriptions: Iterable[ReportSubscription]) -> list[User]:
    """Those of them who are still there, and may still have the report."""
    return [
        one.user for one in subscriptions if one.user.is_active and may_have(one.user, one.organization_id, one.team_id)
    ]


def _due(last: date) -> Iterator[Due]:
    """What is waited for up to the month `last`, each once: final reports first, then months in their order."""
    for report in list(_unfinished(last).order_by("month", "organization_id", "team_id", "kind", "by")):
        due = Due(report.organization_id, report.team_id, report.kind, report.by, report.month, is_follow_up=True)
        if _subscribers(due).exists():
            yield due
    names = ("organization_id", "team_id", "kind", "by")
    for month in months(_earliest(last), last):
        for organization_id, team_id, kind, by in list(_waiting(month).order_by(*names).values_list(*names).distinct()):
            yield Due(organization_id, team_id, kind, by, month)


def _earliest(last: date) -> date:
    """The first month of which somebody may wait for a report."""
    bounds = _waiting(last).aggregate(made=Min("created_at", filter=Q(served_month=None)), served=Min("served_month"))
    first = [month_of(bounds["made"])] if bounds["made"] else []
    first += [add_months(bounds["served"], 1)] if bounds["served"] else []
    return max(min(first, default=last), add_months(last, 1 - BEHIND))


def _waiting(month: date) -> QuerySet[ReportSubscription]:
    """Subscriptions made before the month was over that have not been served of it, where people are let in."""
    return _made_before_its_end(month).filter(Q(served_month=None) | Q(served_month__lt=month))


def _made_before_its_end(month: date) -> QuerySet[ReportSubscription]:
    over = datetime.combine(add_months(month, 1), clock.min, UTC)
    return ReportSubscription.objects.filter(created_at__lt=over, organization__is_active=True)


def _unfinished(last: date) -> QuerySet[IssuedReport]:
    """Reports that went by mail as provisional and have not gone as final yet."""
    mailed = IssuedReport.objects.filter(is_scheduled=True)
    same = {name: OuterRef(name) for name in ("organization", "month", "kind", "by")}
    final = mailed.filter(is_provisional=False, **same)
    is_followed = Exists(final.filter(team=OuterRef("team"))) | Q(Exists(final.filter(team=None)), team=None)
    since = add_months(last, 1 - BEHIND)
    return mailed.filter(is_provisional=True, month__gte=since, organization__is_active=True).exclude(is_followed)


def _subscribers(due: Due) -> QuerySet[ReportSubscription]:
    """Who waits for it; for the final one, who was served of its month."""
    served = _made_before_its_end(due.month).filter(served_month__gte=due.month)
    return (served if due.is_follow_up else _waiting(due.month)).filter(_of(due))


def _of(due: Due) -> Q:
    of_team = Q(team_id=due.team_id) if due.team_id else Q(team__isnull=True)
    return of_team & Q(organization_id=due.organization_id, kind=due.kind, by=due.by)


def _asked(due: Due) -> Asked:
    organization = Organization.objects.get(pk=due.organization_id)
    team = Team.objects.get(pk=due.team_id) if due.team_id else None
    return Asked(organization, ReportKind(due.kind), ReportBy(due.by), due.month, team)
