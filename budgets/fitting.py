"""What a machine holds follows what it is: what it needs no more after a change goes back to its budgets."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from budgets import binding, holding
from budgets.guards.common import scopes_of
from budgets.models import Reservation
from budgets.rates import kind_of, rate_as_booked
from costs import metering
from costs.dues import modes_of
from costs.pricing import hour_up
from workspaces.models import WorkSpace


def fit(*, workspace: WorkSpace, now: datetime) -> Decimal:
    """Give back what a machine that was changed holds beyond what a launch of it would set aside; returns the sum.

    The CHANGE hook, in the transaction that has written the change and holds the scope rows and the machine. That is
    booked to `now` first, so that its hours as it was are paid out of what it held. Needed are the fees of the hours to
    come, by the modes of the month (costs.dues), and FORGE_RESERVE_HOURS of running. What lacks is not set aside here:
    a modification was admitted with it, and metering tops up the rest. Without a known price nothing changes.
    """
    held = Reservation.objects.live().filter(workspace_id=workspace.pk)
    budgets = list(held.values_list("budget_id", flat=True))
    if not budgets:
        return Decimal(0)
    metering.advance(workspace=workspace, now=now, locking=budgets)
    holding.lock(budgets)
    needed = _needed(workspace, now)
    given = Decimal(0)
    for reservation in held.filter(budget_id__in=needed).order_by("budget_id"):
        given += holding.give_back(reservation, reservation.remaining - needed[reservation.budget_id])
    return given


def _needed(workspace: WorkSpace, now: datetime) -> dict[uuid.UUID, Decimal]:
    """What each budget that binds the machine must hold for it; {} where it has no price."""
    modes = modes_of(workspace, now=now)
    rate = rate_as_booked(workspace.organization, kind_of(workspace), modes=modes, now=now)
    if rate is None:
        return {}
    bound = binding.read(
        scopes=scopes_of(workspace),
        now=now,
        lifetime_end=workspace.lives_until(now),
        rate=rate,
        hours=settings.FORGE_RESERVE_HOURS,
        fees_from=hour_up(now),
    )
    return {budget.id: budget.needed for budget in bound}
