"""Cost records as rows of a FOCUS file: read a page of a keyset at a time, and made by PostgreSQL as CSV.

A record gives a row for each part of its cost: started hours at their
price, what else the machine cost (its fees; all of it where the provider's bill does not tell them apart), storage, and
data transfer; one that cost nothing gives a row of nothing, so that every record is in the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet

from costs.focus.columns import COLUMNS
from costs.models import CostRecord
from forge.api.keysets import Keyset

PAGE = 5_000
"""Records per page."""

_FROM = """
      FROM costs_costrecord r
      JOIN workspaces_workspace w ON w.id = r.workspace_id
      JOIN workspaces_provideraccount a ON a.id = w.provider_account_id
      JOIN accounts_user u ON u.id = r.user_id
      JOIN accounts_team t ON t.id = r.team_id
      LEFT JOIN accounts_project p ON p.id = r.project_id
      LEFT JOIN costs_price price ON price.id = r.price_id
     CROSS JOIN LATERAL (
         SELECT CASE WHEN r.basis <> 'BILLED' AND r.billed_hours * price.hourly_amount <= r.compute_cost
                     THEN r.billed_hours * price.hourly_amount ELSE 0
                END AS cost
     ) hours
     CROSS JOIN LATERAL (
         VALUES (1, 'hours', 'Running hours', 'Usage-Based', hours.cost, r.billed_hours, price.hourly_amount,
                 r.billed_hours, 'Hours', hours.cost > 0),
                (2, 'machine', CASE WHEN r.basis = 'BILLED' THEN 'Machine' ELSE 'Machine fee' END, 'Recurring',
                 r.compute_cost - hours.cost, 1, r.compute_cost - hours.cost, 1, 'Hours',
                 r.compute_cost > hours.cost OR r.total_cost = 0),
                (3, 'storage', 'Storage', 'Recurring', r.storage_cost, 1, r.storage_cost, r.storage_gb, 'GB-Hours',
                 r.storage_cost > 0),
                (4, 'transfer', 'Data transfer', 'Usage-Based', r.data_transfer_cost, 1, r.data_transfer_cost,
                 r.data_transfer_gb, 'GB', r.data_transfer_cost > 0)
     ) AS part (nr, code, meter, frequency, cost, quantity, unit_price, consumed, consumed_unit, is_there)
     WHERE part.is_there AND r.organization_id = %(organization)s AND r.period_start BETWEEN %(first)s AND %(last)s
       AND r.id = ANY (%(ids)s)
     ORDER BY r.period_start, r.id, part.nr
"""
_COPY = (
    "COPY (SELECT "
    + ", ".join(f'{expression} AS "{name}"' for name, (_, expression) in COLUMNS.items())
    + _FROM
    + ") TO STDOUT (FORMAT csv)"
)


def pages(records: QuerySet[CostRecord], *, safe: bool) -> Iterator[bytes]:
    """Their rows as CSV without a header, page by page in the order of hours; in the snapshot of the caller.

    `records` are of one organization; `safe` puts an apostrophe before what a spreadsheet would take for a formula.
    """
    keyset = Keyset.of(records, "period_start", "period_start", descending=False)
    place = None
    found = records.values("id", "period_start", "organization_id")
    while page := list(keyset.apply(found, place)[:PAGE]):
        ids = [record["id"] for record in page]
        first, last = page[0], page[-1]
        yield _rows(first["organization_id"], ids, first["period_start"], last["period_start"], safe)
        place = keyset.position_of(last)


def _rows(organization_id: object, ids: list[int], first: datetime, last: datetime, safe: bool) -> bytes:
    given = {"organization": organization_id, "ids": ids, "first": first, "last": last, "safe": safe}
    out = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(_COPY, given) as copy:
        for piece in copy:
            out.write(piece)
    return out.getvalue()
