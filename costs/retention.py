"""The retention of cost records. Their daily sums (DailyCost) stay, so reports go back further than records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from django.db.models import Q

from audit import holds
from audit.archive.policies import Policy, register
from costs.metering import TABLE
from costs.models import MeterMark


def hindrances(first: date, end: date) -> Iterator[str]:
    """Why the records of [first, end) stay: a legal hold over the period, a machine that is not metered beyond it."""
    bounds = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, end)]
    for hold in holds.over_period(*bounds, table=None, using="default"):
        yield f"legal hold {hold.id}"
    behind = MeterMark.objects.filter(Q(dirty_from__lt=bounds[1]) | Q(next_due_at__lt=bounds[1])).count()
    if behind:
        yield f"{behind} machines have hours that are not metered yet"


register(Policy(table=TABLE, setting="FORGE_COST_RETENTION_MONTHS", hindrances=hindrances))
