"""The budgets that bind a machine at an instant, read or reserved by one SQL call (migration 0002)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from budgets.models import Budget
from costs.dues import Dues
from costs.pricing import hour_of, hour_up

_BINDING = """
    SELECT *, '' FROM budgets_binding(
        %(user)s, %(team)s, %(project)s, %(organization)s, %(now)s, %(lifetime_end)s,
        %(fee)s, %(storage_fee)s, %(hourly)s, %(hours)s, %(fees_from)s
    )
"""
_RESERVE = """
    SELECT * FROM budgets_reserve(
        %(user)s, %(team)s, %(project)s, %(organization)s, %(now)s, %(lifetime_end)s,
        %(fee)s, %(storage_fee)s, %(hourly)s, %(hours)s,
        %(workspace)s, %(operation)s, %(correlation)s, %(expires_at)s
    )
"""


@dataclass(frozen=True)
class Scopes:
    """Whom a machine is charged to, named as people know them."""

    organization: tuple[uuid.UUID, str]
    user: tuple[uuid.UUID, str] | None = None
    team: tuple[uuid.UUID, str] | None = None
    project: tuple[uuid.UUID, str] | None = None

    def id_of(self, scope: str) -> uuid.UUID | None:
        """The id of the user, team, project or organization (a Budget.Scope), None where there is none."""
        found = getattr(self, scope.lower())
        return found[0] if found else None

    def name_of(self, scope: str) -> str:
        """The email or slug of the same."""
        found = getattr(self, scope.lower())
        return found[1] if found else ""


@dataclass(frozen=True)
class Rate:
    """What a kind of machine costs: two fees that accrue over the month, and a price per started hour.

    By the price in force, or (`is_current` False) by the last one that is known. `dues` are those of a machine that
    is charged otherwise to the end of the month, since it was switched in it; None of every other. Without a price of
    the storage that it has beyond what is included (`has_storage_price` False), `storage_fee` is 0.
    """

    fee: Decimal
    storage_fee: Decimal
    hourly: Decimal
    is_current: bool = True
    has_storage_price: bool = True
    dues: Dues | None = None


@dataclass(frozen=True)
class Bound:
    """One budget that binds, what it must set aside (`needed`), and what stands in the way of that.

    The fields are the columns of `budgets_reserve`, in their order.
    """

    id: uuid.UUID
    scope: str
    scope_id: uuid.UUID
    amount: Decimal
    spent: Decimal
    reserved: Decimal
    period_start: datetime
    period_end: datetime
    on_limit: str
    adopted_at: datetime | None
    needed: Decimal
    obstacle: str

    @property
    def is_adopted(self) -> bool:
        """False while its figures say nothing yet."""
        return self.adopted_at is not None

    @property
    def after(self) -> Decimal:
        """Spent and reserved together once the machine is in."""
        return self.spent + self.reserved + self.needed

    @property
    def has_room(self) -> bool:
        """True when the machine fits; exactly full is full, not over."""
        return self.after <= self.amount

    def with_figures(self, spent: Decimal, reserved: Decimal) -> Bound:
        """The same budget with other figures."""
        return replace(self, spent=spent, reserved=reserved)

    def needing(self, needed: Decimal) -> Bound:
        """The same budget, asked for another amount."""
        return replace(self, needed=needed)


def read(
    *,
    scopes: Scopes,
    now: datetime,
    lifetime_end: datetime,
    rate: Rate,
    hours: int,
    fees_from: datetime | None = None,
) -> list[Bound]:
    """The budgets that bind at `now`, ordered by id; neither locks nor writes.

    Fees count from the hour `fees_from`, by default that of `now`, which a launch owes whole.
    """
    since = fees_from or hour_of(now)
    bound = _rows(_BINDING, _parameters(scopes, now, lifetime_end, rate, hours) | {"fees_from": since})
    if rate.dues is None:
        return bound
    return [one.needing(_owed(rate.dues, now, since, min(one.period_end, lifetime_end), hours)) for one in bound]


def reserve(
    *,
    scopes: Scopes,
    now: datetime,
    lifetime_end: datetime,
    rate: Rate,
    hours: int,
    workspace_id: uuid.UUID,
    operation_id: uuid.UUID,
    correlation_id: uuid.UUID,
    expires_at: datetime,
) -> list[Bound]:
    """Lock the budgets that bind, and reserve in all of them if nothing stands in the way of any.

    The figures are those before the reservation. Something was written exactly when no `obstacle` is named. The
    caller holds the scope rows and is inside the transaction that writes machine and operation.
    """
    more = {
        "workspace": workspace_id,
        "operation": operation_id,
        "correlation": correlation_id,
        "expires_at": expires_at,
    }
    return _rows(_RESERVE, _parameters(scopes, now, lifetime_end, rate, hours) | more)


def _owed(dues: Dues, now: datetime, since: datetime, end: datetime, hours: int) -> Decimal:
    """Fees of the hours that begin from `since` to `end`, and at most `hours` of running."""
    return dues.fees_between(since, hour_up(end)) + dues.running(now, end, hours) if now < end else Decimal(0)


def _parameters(scopes: Scopes, now: datetime, lifetime_end: datetime, rate: Rate, hours: int) -> dict[str, Any]:
    ids = {scope.lower(): scopes.id_of(scope) for scope in Budget.Scope.values}
    return ids | {
        "now": now,
        "lifetime_end": lifetime_end,
        "fee": rate.fee,
        "storage_fee": rate.storage_fee,
        "hourly": rate.hourly,
        "hours": hours,
    }


def _rows(statement: str, parameters: Mapping[str, Any]) -> list[Bound]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [Bound(*row) for row in cursor.fetchall()]
