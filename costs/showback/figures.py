"""The figures of a report: one statement over the daily sums, so that its lines and its total are of one instant.

Everything is shown in cents, and what is shown adds up. The total is rounded half up, as `/costs/summary` would be. Its
parts (compute by bundle type, storage, data transfer), its bases and its lines get whole cents by largest remainder:
each is rounded down, and the cents that are then missing go to those that lost most. The cells of a column are given
theirs in the same way, against the column's foot. So every column adds up to its foot and the foot to the total; across
one line the parts may differ from the line's total by cents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from blueprints.models import BundleType
from costs.reports import MIXED
from costs.showback.models import ReportBy, ReportKind
from forge.accounts.models import Organization, Team
from forge.db.months import add_months

STORAGE, DATA_TRANSFER = "storage", "data_transfer"
PARTS = (*BundleType.values, STORAGE, DATA_TRANSFER)
"""What a total is made of: the compute of each bundle type, storage and data transfer of all of them."""


@dataclass(frozen=True)
class Asked:
    """Which report: of an organization or (`team`) of one team's costs, of one UTC month, by what."""

    organization: Organization
    kind: ReportKind
    by: ReportBy
    month: date
    team: Team | None = None

    @property
    def end(self) -> date:
        """The first day after the month."""
        return add_months(self.month, 1)

    @property
    def ends_at(self) -> datetime:
        return datetime.combine(self.end, time.min, UTC)


@dataclass(frozen=True)
class Line:
    """What one team, project, cost center or person cost; `code` is empty where nobody bears it."""

    code: str
    name: str
    amount: Decimal
    parts: Mapping[str, Decimal]
    basis: str


@dataclass(frozen=True)
class Sums:
    """The foot of a report: `total_cost` as it is, all else as it is shown."""

    total_cost: Decimal
    amount: Decimal
    parts: Mapping[str, Decimal]
    bases: Mapping[str, Decimal]
    groups: int


# What lines stand for → its column of the daily sums, and where its code and name stand.
_DIMENSIONS: Mapping[str, tuple[str, str, str, str]] = {
    ReportBy.TEAM: ("team_id", "accounts_team", "slug", "name"),
    ReportBy.PROJECT: ("project_id", "accounts_project", "slug", "name"),
    ReportBy.USER: ("user_id", "accounts_user", "email", "full_name"),
}

_SQL = """
WITH spent AS MATERIALIZED (
    SELECT c.{column} AS key, c.bundle_type, c.basis, sum(c.compute_cost) AS compute, sum(c.storage_cost) AS storage,
           sum(c.data_transfer_cost) AS transfer
      FROM costs_dailycost c
     WHERE c.organization_id = %(organization)s AND c.day >= %(start)s AND c.day < %(end)s
       AND (%(team)s::uuid IS NULL OR c.team_id = %(team)s::uuid)
     GROUP BY 1, 2, 3
),
sums AS MATERIALIZED (
    SELECT GROUPING(cell.key, cell.part, cell.basis) AS level, cell.key, cell.part, cell.basis,
           coalesce(sum(cell.cost), 0) AS cost, min(cell.basis) AS least, max(cell.basis) AS greatest
      FROM (
          SELECT coalesce(s.key::text, '') AS key, s.basis, part.name AS part, part.cost
            FROM spent s
           CROSS JOIN LATERAL (
               VALUES (s.bundle_type::text, s.compute), ('storage', s.storage), ('data_transfer', s.transfer)
           ) part (name, cost)
      ) cell
     GROUP BY GROUPING SETS ((cell.key, cell.part), (cell.key), (cell.part), (cell.basis), ())
),
whole AS (
    SELECT cost, round(cost * 100) AS cents, least, greatest FROM sums WHERE level = 7
),
heads AS (
    SELECT s.level, s.part, s.basis,
           floor(s.cost * 100) + (
               row_number() OVER (
                   PARTITION BY s.level ORDER BY s.cost * 100 - floor(s.cost * 100) DESC, s.part, s.basis
               ) <= whole.cents - sum(floor(s.cost * 100)) OVER (PARTITION BY s.level)
           )::int AS cents
      FROM sums s CROSS JOIN whole
     WHERE s.level IN (5, 6)
),
lines AS (
    SELECT s.key, s.cost, s.least, s.greatest,
           floor(s.cost * 100) + (
               row_number() OVER (ORDER BY s.cost * 100 - floor(s.cost * 100) DESC, s.key)
                   <= whole.cents - sum(floor(s.cost * 100)) OVER ()
           )::int AS cents
      FROM sums s CROSS JOIN whole
     WHERE s.level = 3
),
cells AS (
    SELECT s.key, s.part,
           floor(s.cost * 100) + (
               row_number() OVER (PARTITION BY s.part ORDER BY s.cost * 100 - floor(s.cost * 100) DESC, s.key)
                   <= head.cents - sum(floor(s.cost * 100)) OVER (PARTITION BY s.part)
           )::int AS cents
      FROM sums s JOIN heads head ON head.level = 5 AND head.part = s.part
     WHERE s.level = 1
),
told AS (
    SELECT key, max(cost) AS cost, max(least) AS least, max(greatest) AS greatest, max(cents) AS cents,
           json_object_agg(part, of_part::bigint) FILTER (WHERE part IS NOT NULL) AS parts
      FROM (
          SELECT key, cost, least, greatest, cents, NULL AS part, NULL AS of_part FROM lines
           UNION ALL
          SELECT key, NULL, NULL, NULL, NULL, part, cents FROM cells
      ) row
     GROUP BY key
)
SELECT 0 AS place, '' AS code, '' AS name, whole.cents::bigint AS cents, whole.cost AS exact,
       (SELECT json_object_agg(part, cents::bigint)::text FROM heads WHERE level = 5) AS parts,
       (SELECT json_object_agg(basis, cents::bigint)::text FROM heads WHERE level = 6) AS bases,
       (SELECT count(*) FROM lines WHERE key <> '') AS groups, whole.least, whole.greatest
  FROM whole
UNION ALL
SELECT CASE WHEN l.key = '' THEN 2 ELSE 1 END, coalesce({code}, ''), coalesce({name}, ''), l.cents::bigint, l.cost,
       l.parts::text, NULL, NULL, l.least, l.greatest
  FROM told l {join}
 ORDER BY place, cents DESC, exact DESC, code
"""
_PAGE = 1000


@contextmanager
def read(asked: Asked) -> Iterator[tuple[Sums, Iterator[Line]]]:
    """The foot, and the lines: the dearest first, what nobody bears last; read a page at a time, in one transaction."""
    given = {
        "organization": asked.organization.id,
        "team": asked.team.id if asked.team else None,
        "start": asked.month,
        "end": asked.end,
    }
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(_SQL.format(**_dimension(asked.by)), given)
        yield _sums(cursor.fetchone()), _lines(cursor)


def _dimension(by: str) -> dict[str, str]:
    if by == ReportBy.COST_CENTER:
        return {"column": "cost_center", "code": "l.key", "name": "''", "join": ""}
    column, table, code, name = _DIMENSIONS[by]
    join = f"LEFT JOIN {table} who ON who.id = nullif(l.key, '')::uuid"
    return {"column": column, "code": f"who.{code}", "name": f"who.{name}", "join": join}


def _lines(cursor: Any) -> Iterator[Line]:
    while page := cursor.fetchmany(_PAGE):
        for _, code, name, cents, _, parts, _, _, least, greatest in page:
            yield Line(code, name, _amount(cents), _amounts(parts), least if least == greatest else MIXED)


def _sums(row: tuple[Any, ...]) -> Sums:
    _, _, _, cents, exact, parts, bases, groups, _, _ = row
    return Sums(exact, _amount(cents), _amounts(parts), _amounts(bases), groups)


def _amounts(text: str | None) -> dict[str, Decimal]:
    return {name: _amount(cents) for name, cents in json.loads(text or "{}").items()}


def _amount(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
