"""The bare side of `admission_vs_bare_lock`: lock the budgets, compare, raise `reserved`, write down what is held.

What everybody would write first: the two budgets, whose ids and need are given, locked in the order of their ids,
compared in Python, raised by one UPDATE, and the reservations by one INSERT. It asks for no price, finds out neither
which budgets bind nor what must be set aside, takes no scope row (so a budget made meanwhile would be missed), adopts
nothing and knows no blueprint. It is fair because the rest of the transaction, the rows of machine, state change and
operation, is the same code on both sides, on the same kind of connection, in the same threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from budgets.models import EXPIRES_AFTER
from workspaces.intents import Intent

_LOCK = """
    SELECT spent + reserved + %s <= amount FROM budgets_budget WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_RAISE = """
    UPDATE budgets_budget SET reserved = reserved + %s, updated_at = statement_timestamp() WHERE id = ANY(%s)
"""
_HOLD = """
    INSERT INTO budgets_reservation (
        id, organization_id, budget_id, workspace_id, operation_id, amount, remaining, expires_at, correlation_id,
        created_at, updated_at
    )
    SELECT forge_uuid7(), %(organization)s, budget, %(workspace)s, %(operation)s, %(needed)s, %(needed)s,
           %(expires_at)s, %(correlation)s, statement_timestamp(), statement_timestamp()
      FROM unnest(%(budgets)s::uuid[]) AS budget
"""


class NoRoom(Exception):
    """A budget cannot hold the machine."""


def reserve(intent: Intent, *, budget_ids: Sequence[UUID], needed: Decimal, now: datetime) -> None:
    """Set `needed` aside in each of the budgets; raises NoRoom. Inside the transaction that writes the machine."""
    budgets = list(budget_ids)
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [needed, budgets])
        if not all(has_room for (has_room,) in cursor.fetchall()):
            raise NoRoom
        cursor.execute(_RAISE, [needed, budgets])
        cursor.execute(
            _HOLD,
            {
                "organization": intent.organization.id,
                "budgets": budgets,
                "workspace": intent.workspace_id,
                "operation": intent.operation_id,
                "needed": needed,
                "expires_at": now + EXPIRES_AFTER,
                "correlation": intent.correlation_id,
            },
        )
