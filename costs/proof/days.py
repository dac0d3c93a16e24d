"""Hold a day's sums against its records: one statement each, so both sides are of one moment while others book."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from costs.metering import TABLE
from forge.db.models import ArchivedMonth

ROTATION_DAYS = 30
"""Each past day is proved again so often, whether anything is known to have changed there or not."""

MOST = 1000
"""Differences of a day that are told, at most: they are of organizations (and keys), not of single sums."""

_DAY = timedelta(days=1)

_DAILY = """
    SELECT organization_id, '' AS subject, count(*), sum(expected), sum(found)
      FROM (
          SELECT organization_id, sum(total_cost) FILTER (WHERE sign = 1) AS expected,
                 sum(total_cost) FILTER (WHERE sign = -1) AS found
            FROM (
                SELECT 1 AS sign, r.organization_id, user_id, team_id, project_id, blueprint_id, cost_center,
                       bundle_type, r.region, running_mode, basis, billed_hours, compute_cost, storage_cost,
                       data_transfer_cost, total_cost
                  FROM accounts_organization o
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_costrecord
                      WHERE organization_id = o.id AND period_start >= %(start)s AND period_start < %(end)s
                 ) r
                UNION ALL
                SELECT -1, d.organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type,
                       d.region, running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost,
                       total_cost
                  FROM accounts_organization o
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_dailycost WHERE organization_id = o.id AND day = %(day)s
                 ) d
            ) part
           GROUP BY organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
                    running_mode, basis
          HAVING sum(sign * billed_hours) <> 0 OR sum(sign * compute_cost) <> 0 OR sum(sign * storage_cost) <> 0
              OR sum(sign * data_transfer_cost) <> 0 OR sum(sign * total_cost) <> 0
      ) differing
     GROUP BY organization_id
     ORDER BY organization_id
     LIMIT %(most)s
"""

_TOTALS = """
    SELECT organization_id, '' AS subject, count(*), sum(expected), sum(found)
      FROM (
          SELECT organization_id, sum(total_cost) FILTER (WHERE sign = 1) AS expected,
                 sum(total_cost) FILTER (WHERE sign = -1) AS found
            FROM (
                SELECT 1 AS sign, d.organization_id, team_id, project_id, blueprint_id, cost_center, bundle_type,
                       d.region, running_mode, basis, 1 AS rows, billed_hours, compute_cost, storage_cost,
                       data_transfer_cost, total_cost
                  FROM accounts_organization o
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_dailycost WHERE organization_id = o.id AND day = %(day)s
                 ) d
                UNION ALL
                SELECT -1, t.organization_id, team_id, project_id, blueprint_id, cost_center, bundle_type, t.region,
                       running_mode, basis, rows, billed_hours, compute_cost, storage_cost, data_transfer_cost,
                       total_cost
                  FROM accounts_organization o
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_dailytotal WHERE organization_id = o.id AND day = %(day)s
                 ) t
            ) part
           GROUP BY organization_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region, running_mode,
                    basis
          HAVING sum(sign * rows) <> 0 OR sum(sign * billed_hours) <> 0 OR sum(sign * compute_cost) <> 0
              OR sum(sign * storage_cost) <> 0 OR sum(sign * data_transfer_cost) <> 0
      ) differing
     GROUP BY organization_id
     ORDER BY organization_id
     LIMIT %(most)s
"""

_TAGS = """
    SELECT organization_id, key, count(*), sum(expected), sum(found)
      FROM (
          SELECT organization_id, key, sum(total_cost) FILTER (WHERE sign = 1) AS expected,
                 sum(total_cost) FILTER (WHERE sign = -1) AS found
            FROM (
                SELECT 1 AS sign, k.organization_id, k.key, left(coalesce(r.tags ->> k.key, ''), 256) AS value,
                       r.basis, 1 AS records, r.billed_hours, r.compute_cost, r.storage_cost, r.data_transfer_cost,
                       r.total_cost
                  FROM costs_tagkey k
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_costrecord
                      WHERE organization_id = k.organization_id AND period_start >= %(start)s
                        AND period_start < %(end)s
                 ) r
                 WHERE k.state <> 'DROPPING' AND coalesce(k.fill_before <= %(day)s, true)
                UNION ALL
                SELECT -1, k.organization_id, k.key, t.value, t.basis, t.records, t.billed_hours, t.compute_cost,
                       t.storage_cost, t.data_transfer_cost, t.total_cost
                  FROM costs_tagkey k
                 CROSS JOIN LATERAL (
                     SELECT * FROM costs_tagcost
                      WHERE organization_id = k.organization_id AND key = k.key AND day = %(day)s
                 ) t
                 WHERE k.state <> 'DROPPING' AND coalesce(k.fill_before <= %(day)s, true)
            ) part
           GROUP BY organization_id, key, value, basis
          HAVING sum(sign * records) <> 0 OR sum(sign * billed_hours) <> 0 OR sum(sign * compute_cost) <> 0
              OR sum(sign * storage_cost) <> 0 OR sum(sign * data_transfer_cost) <> 0
      ) differing
     GROUP BY organization_id, key
     ORDER BY organization_id, key
     LIMIT %(most)s
"""

# Daily sums say what was booked lately, asked day by day; revisions say it too, should the sums not have followed.
_FIRST = """
    SELECT min(d.day)
      FROM accounts_organization o
     CROSS JOIN LATERAL (
         SELECT day FROM costs_dailycost WHERE organization_id = o.id ORDER BY organization_id, day LIMIT 1
     ) d
"""
_IS_CHANGED = """
    SELECT EXISTS (
        SELECT FROM accounts_organization o
         CROSS JOIN LATERAL (
             SELECT FROM costs_dailycost
              WHERE organization_id = o.id AND day = %(day)s AND updated_at >= %(since)s LIMIT 1
         ) d
    )
"""
_REVISED = """
    SELECT DISTINCT (v.period_start AT TIME ZONE 'UTC')::date
      FROM accounts_organization o
     CROSS JOIN LATERAL (
         SELECT period_start FROM costs_costrevision WHERE organization_id = o.id AND recorded_at >= %(since)s
     ) v
"""


class Difference(NamedTuple):
    """Of one organization: so many sums differ; by the records they come to `expected`."""

    organization_id: uuid.UUID
    subject: str
    groups: int
    expected: Decimal
    found: Decimal


def daily(day: date) -> list[Difference]:
    """Organizations whose daily sums of the UTC day are not what its records come to."""
    return _differences(_DAILY, day)


def totals(day: date) -> list[Difference]:
    """Organizations whose daily totals of the UTC day are not what its daily sums come to."""
    return _differences(_TOTALS, day)


def by_tag(day: date) -> list[Difference]:
    """Organizations and keys whose sums by tag of the UTC day are not what its records come to."""
    return _differences(_TAGS, day)


def due(*, since: datetime, now: datetime, every_day: bool = False) -> list[date]:
    """The days to prove: the last three, those in which something was booked since, and a 30th of the past.

    Days of archived months have no records left to hold anything against.
    """
    today = now.astimezone(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(_FIRST)
        (first,) = cursor.fetchone()
        cursor.execute(_REVISED, {"since": since})
        days = {today - n * _DAY for n in range(3)} | {day for (day,) in cursor.fetchall()}
    past = first or today
    archived = archived_months()
    for day in (past + n * _DAY for n in range((today - past).days)):
        is_its_turn = every_day or (today - day).days % ROTATION_DAYS == 0
        if is_its_turn or (day not in days and day.replace(day=1) not in archived and _is_changed(day, since)):
            days.add(day)
    return sorted(day for day in days if day.replace(day=1) not in archived)


def _is_changed(day: date, since: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_IS_CHANGED, {"day": day, "since": since})
        return bool(cursor.fetchone()[0])


def archived_months() -> set[date]:
    """Months whose cost records have left the table."""
    return set(ArchivedMonth.objects.filter(table=TABLE).values_list("month", flat=True))


def _differences(statement: str, day: date) -> list[Difference]:
    start = datetime.combine(day, time(), UTC)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"day": day, "start": start, "end": start + _DAY, "most": MOST})
        return [
            Difference(organization_id, subject, groups, expected or Decimal(0), found or Decimal(0))
            for organization_id, subject, groups, expected, found in cursor.fetchall()
        ]
