"""The bare side of `metering_vs_bare_sql`: an hour of running machines written by plain SQL, and nothing thought about.

It is told what ours has to find out: which machines are due (all of them), what each kind owes for the hour, that
nobody stopped, started or changed meanwhile, which budgets bind. So it reads no history, price, mark or reservation,
and takes no lock before it writes. It writes what ours writes, row for row: the record of the hour that ends, the
record of the hour that begins, the daily sum, cost_to_date, the mark, each reservation and the budgets. It is fair
because it works in the same chunks, one transaction each, through the same connection, by one statement per table with
the ids of the chunk as an array (one transaction over all machines is no quicker and would block every launch); and
because the sweep after it is ours again and finds everything in order, as the benchmark checks to the last millionth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction


@dataclass(frozen=True)
class Owed:
    """What one kind of machine owes: for the session hour that began, and of its fee for the hour that begins now."""

    bundle_type: str
    price_id: UUID
    session_hour: Decimal
    fee: Decimal


_OWED = """
    WITH owed AS (
        SELECT * FROM unnest(
            %(bundle_types)s::text[], %(prices)s::uuid[], %(session_hours)s::numeric[], %(fees)s::numeric[]
        ) AS o (bundle_type, price_id, session_hour, fee)
    )
"""

_CORRECT = (
    _OWED
    + """
    UPDATE costs_costrecord r
       SET running_seconds = r.running_seconds + %(seconds_before)s, billed_hours = r.billed_hours + 1,
           compute_cost = r.compute_cost + o.session_hour, total_cost = r.total_cost + o.session_hour
      FROM owed o
     WHERE r.workspace_id = ANY(%(ids)s) AND r.period_start = %(last_hour)s AND o.bundle_type = r.bundle_type
"""
)

_BOOK = (
    _OWED
    + """
    INSERT INTO costs_costrecord (
        workspace_id, organization_id, user_id, team_id, project_id, blueprint_id, price_id, period_start, period_end,
        running_seconds, billed_hours, storage_gb, data_transfer_gb, compute_cost, storage_cost, data_transfer_cost,
        total_cost, currency, basis, bundle_type, region, running_mode, cost_center, tags
    )
    SELECT w.id, w.organization_id, w.owner_id, w.team_id, w.project_id, w.blueprint_id, o.price_id, %(hour)s,
           %(hour)s + interval '1 hour', %(seconds_after)s, 0, w.root_volume_gb + w.user_volume_gb, 0, o.fee, 0, 0,
           o.fee, 'USD', 'METERED', w.bundle_type, w.region, w.running_mode, w.tags ->> 'cost-center', w.tags
      FROM workspaces_workspace w JOIN owed o ON o.bundle_type = w.bundle_type
     WHERE w.id = ANY(%(ids)s)
"""
)

_SUM = (
    _OWED
    + """
    INSERT INTO costs_dailycost AS daily (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT part.day, w.organization_id, w.owner_id, w.team_id, w.project_id, w.blueprint_id, w.tags ->> 'cost-center',
           w.bundle_type, w.region, w.running_mode, 'METERED', part.billed, part.amount, 0, 0, part.amount,
           statement_timestamp(), statement_timestamp()
      FROM workspaces_workspace w
      JOIN owed o ON o.bundle_type = w.bundle_type
     CROSS JOIN LATERAL (
         SELECT day, sum(billed) AS billed, sum(amount) AS amount
           FROM (VALUES (%(last_day)s, 1, o.session_hour), (%(day)s, 0, o.fee)) AS p (day, billed, amount)
          GROUP BY day
     ) part
     WHERE w.id = ANY(%(ids)s)
    ON CONFLICT (
        organization_id, day, team_id, user_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis
    ) DO UPDATE
        SET billed_hours = daily.billed_hours + EXCLUDED.billed_hours,
            compute_cost = daily.compute_cost + EXCLUDED.compute_cost,
            total_cost = daily.total_cost + EXCLUDED.total_cost, updated_at = EXCLUDED.updated_at
"""
)

_CHARGE = (
    _OWED
    + """
    UPDATE workspaces_workspace w SET cost_to_date = w.cost_to_date + o.session_hour + o.fee
      FROM owed o WHERE w.id = ANY(%(ids)s) AND o.bundle_type = w.bundle_type
"""
)

_MARK = """
    UPDATE costs_metermark
       SET metered_through = %(now)s, paid_until = paid_until + interval '1 hour',
           next_due_at = paid_until + interval '1 hour', updated_at = statement_timestamp()
     WHERE workspace_id = ANY(%(ids)s)
"""

_TAKE = (
    _OWED
    + """
    UPDATE budgets_reservation r
       SET remaining = r.remaining - o.session_hour - o.fee, updated_at = statement_timestamp()
      FROM workspaces_workspace w JOIN owed o ON o.bundle_type = w.bundle_type
     WHERE r.workspace_id = ANY(%(ids)s) AND r.released_at IS NULL AND w.id = r.workspace_id
"""
)

_SPEND = (
    _OWED
    + """
    UPDATE budgets_budget b
       SET spent = b.spent + taken.amount, reserved = b.reserved - taken.amount, updated_at = statement_timestamp()
      FROM (
          SELECT r.budget_id, sum(o.session_hour + o.fee) AS amount
            FROM budgets_reservation r
            JOIN workspaces_workspace w ON w.id = r.workspace_id
            JOIN owed o ON o.bundle_type = w.bundle_type
           WHERE r.workspace_id = ANY(%(ids)s) AND r.released_at IS NULL
           GROUP BY r.budget_id
      ) taken
     WHERE b.id = taken.budget_id
"""
)

_STATEMENTS = (_CORRECT, _BOOK, _SUM, _CHARGE, _MARK, _TAKE, _SPEND)


def sweep(*, now: datetime, owed: Sequence[Owed], chunk: int) -> int:
    """Write the hour up to `now`, which lies within an hour after the sweep before; returns how many machines."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    given: dict[str, Any] = {
        "bundle_types": [kind.bundle_type for kind in owed],
        "prices": [kind.price_id for kind in owed],
        "session_hours": [kind.session_hour for kind in owed],
        "fees": [kind.fee for kind in owed],
        "now": now,
        "hour": hour,
        "day": hour.date(),
        "last_hour": hour - timedelta(hours=1),
        "last_day": (hour - timedelta(hours=1)).date(),
        "seconds_before": 3600 - (now - hour).seconds,
        "seconds_after": (now - hour).seconds,
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM workspaces_workspace WHERE state = 'AVAILABLE' ORDER BY id")
        ids = [workspace_id for (workspace_id,) in cursor.fetchall()]
        for start in range(0, len(ids), chunk):
            with transaction.atomic():
                for statement in _STATEMENTS:
                    cursor.execute(statement, {**given, "ids": ids[start : start + chunk]})
    return len(ids)
