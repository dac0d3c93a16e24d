"""The nightly proof: cost records = their daily sums and sums by tag = what budgets have spent.

Days: the last three, those in which something was booked since the day before yesterday, and a thirtieth of the past,
so each day once in thirty nights. Budgets: those in force, those that changed since then, a thirtieth of the others.
Each day and each period is one statement in the database; what differs is a fault of the books.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import CharField, Max, QuerySet
from django.db.models.functions import Cast

from audit.actors import Actor
from budgets.models import Budget
from budgets.scopes import FACTS
from costs.proof import days, faults
from costs.proof.days import MOST, ROTATION_DAYS, Difference
from costs.proof.models import BookFault
from forge.db.jobs import JobFault

SINCE = timedelta(days=2)
_DAY = timedelta(days=1)

# Whole days from the daily sums, the hours before and after them from the records.
_BUDGETS = """
    SELECT b.organization_id, b.id::text, 1, coalesce(cost.total, 0), b.spent
      FROM budgets_budget b
      LEFT JOIN (
          SELECT {column} AS scope_id, sum(total_cost) AS total
            FROM (
                SELECT {column}, total_cost FROM costs_dailycost
                 WHERE organization_id = %(organization)s AND day >= %(first_day)s AND day < %(end_day)s
                UNION ALL
                SELECT {column}, total_cost FROM costs_costrecord
                 WHERE organization_id = %(organization)s AND period_start >= %(period_start)s
                   AND period_start < least(%(period_end)s, %(first_day)s::timestamp AT TIME ZONE 'UTC')
                UNION ALL
                SELECT {column}, total_cost FROM costs_costrecord
                 WHERE organization_id = %(organization)s AND %(end_day)s >= %(first_day)s
                   AND period_start >= %(end_day)s::timestamp AT TIME ZONE 'UTC' AND period_start < %(period_end)s
            ) part
           GROUP BY 1
      ) cost ON cost.scope_id = b.scope_id
     WHERE b.organization_id = %(organization)s AND b.scope = %(scope)s AND b.period_start = %(period_start)s
       AND b.period_end = %(period_end)s AND b.is_active AND b.adopted_at IS NOT NULL
       AND b.spent <> coalesce(cost.total, 0)
     ORDER BY b.id
     LIMIT %(most)s
"""


class _Period(NamedTuple):
    """The budgets that are proved together: of one organization and scope, for one period."""

    organization_id: Any
    scope: str
    period_start: datetime
    period_end: datetime


def prove(*, actor: Actor, now: datetime, every_day: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Prove what is due, or everything; open and resolve faults, unless it is a dry run.

    Returns counts. Raises JobFault with them when something differs.
    """
    figures = {"days": 0, "periods": 0, "differences": 0, "opened": 0, "resolved": 0}
    proving = _Proving(actor, now, dry_run, figures)
    since = now - SINCE
    for day in days.due(since=since, now=now, every_day=every_day):
        figures["days"] += 1
        proving.keep(BookFault.Kind.DAILY, day, days.daily(day))
        proving.keep(BookFault.Kind.TOTAL, day, days.totals(day))
        proving.keep(BookFault.Kind.TAG, day, days.by_tag(day))
    archived = days.archived_months()
    for period in _periods(since, now, every_day):
        if _reaches_into(period, archived):
            continue
        figures["periods"] += 1
        proved = _budgets_of(period).annotate(subject=Cast("id", CharField())).values("subject")
        proving.keep(BookFault.Kind.BUDGET, None, _of_budgets(period), proved)
    if figures["differences"]:
        raise JobFault(f"The books do not agree: {figures['differences']} differences", figures)
    return figures


class _Proving(NamedTuple):
    actor: Actor
    now: datetime
    dry_run: bool
    figures: dict[str, int]

    def keep(self, kind: str, day: date | None, found: list[Difference], proved: QuerySet[Any] | None = None) -> None:
        self.figures["differences"] += len(found)
        if not self.dry_run:
            opened, resolved = faults.keep(
                kind=kind, day=day, found=found, actor=self.actor, now=self.now, proved=proved
            )
            self.figures["opened"] += opened
            self.figures["resolved"] += resolved


def _periods(since: datetime, now: datetime, every_day: bool) -> list[_Period]:
    """Those in force or with a budget that has changed since; of the others a thirtieth, by the day they begin."""
    today = now.astimezone(UTC).date()
    adopted = Budget.objects.filter(is_active=True, adopted_at__isnull=False)
    groups = adopted.values_list("organization_id", "scope", "period_start", "period_end").order_by("period_start")
    return [
        _Period(*period)
        for *period, changed in groups.annotate(changed=Max("updated_at"))
        if every_day
        or changed >= since
        or period[2] <= now < period[3]
        or (today - period[2].astimezone(UTC).date()).days % ROTATION_DAYS == 0
    ]


def _budgets_of(period: _Period) -> QuerySet[Budget]:
    return Budget.objects.filter(**period._asdict())


def _of_budgets(period: _Period) -> list[Difference]:
    first, end = _whole_days(period)
    given = {"organization": period.organization_id, "first_day": first, "end_day": end, "most": MOST}
    with connection.cursor() as cursor:
        cursor.execute(_BUDGETS.format(column=FACTS[period.scope].record_column), period._asdict() | given)
        return [Difference(*row) for row in cursor.fetchall()]


def _whole_days(period: _Period) -> tuple[date, date]:
    """The UTC days [first, end) that lie in the period as a whole; none where end <= first."""
    start, end = period.period_start.astimezone(UTC), period.period_end.astimezone(UTC)
    return (start + _DAY - timedelta(microseconds=1)).date(), end.date()


def _reaches_into(period: _Period, archived: set[date]) -> bool:
    """True where hours at an end of the period, which only records tell of, are of a month that is archived."""
    edges = [at.astimezone(UTC) for at in (period.period_start, period.period_end)]
    return any(edge.time() != time() and edge.date().replace(day=1) in archived for edge in edges)
