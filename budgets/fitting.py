"""What a machine holds follows what it is: what it needs no more after a change goes back to its budgets."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from budgets import binding, holding, leaving
from budgets.guards.common import scopes_of
from budgets.models import Reservation
from budgets.rates import kind_of, rate_as_booked
from costs import metering
from costs.dues import modes_of
from costs.pricing import hour_up
from workspaces.busy import under_way
from workspaces.models import WorkSpace
from workspaces.transitions import lock_machine, lock_scopes_of

MODIFY = "workspace.modify"


def fit(*, workspace: WorkSpace, now: datetime) -> Decimal:
    """Give back what a machine that was changed holds beyond what a launch of it would set aside; returns the sum.

    The CHANGE hook, in the transaction that has written the change and holds the scope rows and the machine. That is
    booked to `now` first, so that its hours as it was are paid out of what it held. Needed are the fees of the hours to
    come, by the modes of the month (costs.dues), and FORGE_RESERVE_HOURS of running. What lacks is not set aside here:
    a modification was admitted with it, and metering tops up the rest. Without a known price nothing changes; what was
    kept stays so until metering, which waits for the price, comes past this hour too. What an end within the hour would
    owe as the machine was stays until the hour is over (budgets.leaving); till then nothing is topped up either, as
    that goes by the price of the last hour.
    """
    held = Reservation.objects.live().filter(workspace_id=workspace.pk)
    budgets = list(held.values_list("budget_id", flat=True))
    metering.advance(workspace=workspace, now=now, locking=budgets)
    if not budgets:
        return Decimal(0)
    holding.lock(budgets)
    needed = _needed(workspace, now)
    bound = list(held.filter(budget_id__in=needed).select_related("budget").order_by("budget_id"))
    was_other = leaving.was_other(workspace, now=now)
    keeps = leaving.keeps(workspace, bound, now=now) if was_other else {}
    given = Decimal(0)
    for one in bound:
        needs, kept = needed[one.budget_id], keeps.get(one.id, Decimal(0))
        given += holding.give_back(one, one.remaining - max(needs, kept))
        held.filter(pk=one.pk).update(kept_until=hour_up(now) if was_other and one.remaining > needs else None)
    waiting = held.filter(leaving.IS_STILL_BOUND, kept_until__lte=now).exclude(budget_id__in=needed)
    waiting.update(kept_until=hour_up(now))
    return given


def to_fit(*, now: datetime) -> list[uuid.UUID]:
    """Ids of the machines for which an hour that is over and booked keeps money in budgets that bind them."""
    return list(_over(now).order_by("workspace_id").values_list("workspace_id", flat=True).distinct())


def fit_later(*, workspace_id: uuid.UUID, now: datetime) -> int:
    """Give back what such a machine holds beyond its needs; 1, or 0 where that is nothing (any more)."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        if not _over(now).filter(workspace_id=workspace_id).exists():
            return 0
        return int(fit(workspace=workspace, now=now) > 0)


def _over(now: datetime) -> QuerySet[Reservation]:
    """None of machines that are being modified: that was admitted with what is kept, and fits them when it is done."""
    modified = under_way().filter(kind=MODIFY).values("target_id")
    return leaving.over(now).filter(leaving.IS_STILL_BOUND).exclude(workspace_id__in=modified)


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
