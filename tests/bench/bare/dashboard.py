"""The bare side of `dashboard_vs_group_by`: the dashboard's two answers by GROUP BY over the cost records.

It is fair because it is what one writes who keeps no sums: one statement for each answer over the hours of the range,
found by the index on organization and time, in the server's own aggregates (which may take more than one core), with
no person, role, filter or web around it; only the sums come to Python.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

_SUMS = "sum(total_cost), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost), sum(billed_hours)"
_RANGE = "organization_id = %(organization)s AND period_start >= %(start)s AND period_start < %(end)s"
_BY_TEAM = f"""
    SELECT slug, costs.* FROM (
        SELECT team_id, {_SUMS}, min(basis), max(basis) FROM costs_costrecord WHERE {_RANGE} GROUP BY team_id
    ) costs JOIN accounts_team team ON team.id = costs.team_id
"""
_BY_DAY = f"""
    SELECT (period_start AT TIME ZONE 'UTC')::date AS day, bundle_type, {_SUMS}, min(basis), max(basis)
      FROM costs_costrecord WHERE {_RANGE} GROUP BY 1, 2 ORDER BY 1, 2
"""

Answers = tuple[dict[str, Decimal], dict[tuple[str, str], Decimal]]
"""Total cost by team; by day and bundle type."""


def ask(*, organization: uuid.UUID, start: datetime, end: datetime) -> Answers:
    """Both answers, from the records of [start, end)."""
    given: dict[str, Any] = {"organization": organization, "start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(_BY_TEAM, given)
        by_team = {row[0]: row[2] for row in cursor.fetchall()}
        cursor.execute(_BY_DAY, given)
        by_day = {(row[0].isoformat(), row[1]): row[2] for row in cursor.fetchall()}
    return by_team, by_day
