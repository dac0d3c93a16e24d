"""The ledger's hooks: what machines spend is settled, what they hold too much or to no end is given back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection

from audit.actors import Actor
from budgets import holding
from budgets.adoption import adopt
from budgets.models import Reservation
from costs.charges import Charges
from workspaces.models import WorkSpace

__all__ = ["LOW_HOURS", "Settlement", "adopt", "give_back", "release", "settle"]

LOW_HOURS = 8
"""A reservation that holds less than the fees to come and so many hours is topped up."""

_SETTLE = """
    SELECT settled, topped_up, short
      FROM budgets_settle(
          %s::uuid[], ARRAY(SELECT to_timestamp(3600::float8 * hour) FROM unnest(%s::integer[]) AS hour), %s::numeric[],
          %s, %s, %s
      )
"""

# What `budgets_settle` locks, and what `budgets_release` does after it: for a machine that was moved other budgets.
_LOCK_ALL = """
    SELECT FROM budgets_budget
     WHERE id IN (
               SELECT budget_id FROM budgets_reservation WHERE workspace_id = ANY (%(ending)s) AND released_at IS NULL
           )
        OR id = ANY (%(locking)s)
        OR is_active AND adopted_at IS NOT NULL AND scope_id IN (
               SELECT unnest(ARRAY[r.user_id, r.team_id, r.project_id, r.organization_id])
                 FROM unnest(
                          %(workspaces)s::uuid[],
                          ARRAY(SELECT to_timestamp(3600::float8 * hour) FROM unnest(%(hours)s::integer[]) AS hour)
                      ) AS c (workspace_id, hour)
                 JOIN costs_costrecord r ON r.workspace_id = c.workspace_id AND r.period_start = c.hour
           )
     ORDER BY id FOR NO KEY UPDATE
"""


@dataclass(frozen=True)
class Settlement:
    """What settling came to: (machine, budget) pairs booked, reservations topped up, and those that did not fit."""

    settled: int
    topped_up: int
    short: int


def settle(
    *, charges: Charges, now: datetime, ending: Sequence[uuid.UUID] = (), locking: Sequence[uuid.UUID] = ()
) -> Settlement:
    """Book charges in every budget that held their hour: first out of what the machine holds, then beyond it.

    The SPEND hook: runs in the metering's transaction, which holds the scope rows and has written the cost records
    that say whom each charge belongs to. Never refused, so spent may pass the amount. Budgets that are not adopted are
    passed over: adoption sums the records. Reservations that have fallen too low are topped up where there is room.
    The money of machines in `ending` is released next in this transaction: their budgets are locked with the others,
    and so are the budgets `locking`, which a move changes next.
    """
    with connection.cursor() as cursor:
        if ending or locking:
            workspaces, hours, _ = charges.arrays
            held = {"ending": list(ending), "locking": list(locking)}
            cursor.execute(_LOCK_ALL, {**held, "workspaces": workspaces, "hours": hours})
        cursor.execute(_SETTLE, [*charges.arrays, now, LOW_HOURS, settings.FORGE_RESERVE_HOURS])
        return Settlement(*cursor.fetchone())


def release(*, workspaces: Sequence[WorkSpace], actor: Actor, now: datetime) -> int:
    """Give back what machines that have ended still hold; returns how many reservations that were.

    The END hook, after metering has booked the machines to their end, in the transaction that ends them. Doing it
    again changes nothing. It leaves no audit entry of its own: the machine's end has one, with this correlation id.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_release(%s, %s)", [[workspace.pk for workspace in workspaces], now])
        return cursor.fetchone()[0]


def give_back(*, workspace_id: uuid.UUID, held: Mapping[str, str]) -> Decimal:
    """Give back what a modification that did not come about has set aside: `held` says how much in which budget.

    The UNDO hook, in the transaction that ends the operation, which holds the scope rows and the machine. What has been
    spent meanwhile, or was released with the machine, is not given back. Returns the sum.
    """
    holding.lock(uuid.UUID(budget_id) for budget_id in held)
    reservations = Reservation.objects.live().filter(workspace_id=workspace_id, budget_id__in=list(held))
    return sum((holding.give_back(one, Decimal(held[str(one.budget_id)])) for one in reservations), Decimal(0))
