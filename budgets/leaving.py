"""What budgets keep for a machine that was moved or became cheaper, until the UTC hour of that is over and booked.

A cost record has one team, one project and one price, those of when its hour began. So whatever that hour still brings
is theirs: the rest of the month's fees, should the machine end in it, and a session hour that begins later. The budgets
that it has left, and those that it needs less of (budgets.fitting), keep so much of what they held, that nobody else
has the money meanwhile; `check_budgets` gives back what was not needed. A machine that comes back finds it there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import cast

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from budgets import holding
from budgets.binding import Bound, Rate
from budgets.models import Budget, Reservation
from budgets.rates import Kind, kind_of, rate_or_nothing, rates_or_nothing, rest_of_month
from budgets.scopes import FACTS
from costs.dues import Modes, modes_of
from costs.models import CostRecord, MeterMark
from costs.pricing import hour_of
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace

AS_BOOKED = Q(
    workspace__bundle_type=F("bundle_type"),
    storage_gb=F("workspace__root_volume_gb") + F("workspace__user_volume_gb"),
)
"""Records of machines that are still what the hour was booked as. A switch of the running mode makes none another: what
the machine owes goes by the modes of the month (costs.dues) all the same, and records show the one that is charged.
"""


def keeps(workspace: WorkSpace, held: Iterable[Reservation], *, now: datetime) -> dict[uuid.UUID, Decimal]:
    """What each of these reservations keeps for the hour that has begun, should the machine end in it.

    Never more than it holds; nothing where another budget pays the hour, or where the next one has just begun. A dry
    run asks too, so the hour need not be booked.
    """
    hour = hour_of(now)
    if hour == now or workspace.launched_at is None:
        return {}
    record = CostRecord.objects.filter(workspace=workspace, period_start=hour).first()
    paying = [
        one
        for one in held
        if _payer(one.budget.scope, record, workspace) == one.budget.scope_id
        and one.budget.period_start <= hour < one.budget.period_end
    ]
    owed = _owed(workspace, record, now) if paying else Decimal(0)
    return {one.id: min(one.remaining, owed) for one in paying if owed and one.remaining}


def was_other(workspace: WorkSpace, *, now: datetime) -> bool:
    """Whether the hour that has begun is booked as another kind of machine than it is now."""
    hour = hour_of(now)
    records = CostRecord.objects.filter(workspace=workspace, period_start=hour)
    return hour < now and records.exclude(AS_BOOKED).exists()


def _payer(scope: str, record: CostRecord | None, workspace: WorkSpace) -> uuid.UUID | None:
    """Who of this scope pays the hour: as its record says, or the machine where there is none."""
    facts = FACTS[scope]
    payer = getattr(workspace, facts.machine_column) if record is None else getattr(record, facts.record_column)
    return cast("uuid.UUID | None", payer)


def claims(budget: Budget, *, now: datetime) -> dict[uuid.UUID, Decimal]:
    """What a budget that is adopted now must hold at least, by machine, until the hour that has begun is over.

    Of those that left its scope in the hour, and those that became another kind. Whoever moves or changes a machine
    books the hour first, so its records tell.
    """
    hour, facts = hour_of(now), FACTS[budget.scope]
    if hour == now or not budget.period_start <= hour < budget.period_end:
        return {}
    booked = CostRecord.objects.filter(organization_id=budget.organization_id, period_start=hour)
    records = booked.filter(workspace__state__in=LIVE_STATES, **{facts.record_column: budget.scope_id}).exclude(
        AS_BOOKED, **{f"workspace__{facts.machine_column}": budget.scope_id}
    )
    found = list(records.select_related("workspace").annotate(modes=Modes(now, "workspace__")))
    kinds = {record.workspace_id: (kind_then(record.workspace, record), record.modes) for record in found}
    rates = rates_or_nothing(budget.organization, set(kinds.values()), now=now)
    return {machine: _owed_by(rates[kind], now) for machine, kind in kinds.items()}


def kept_of(workspace: WorkSpace, budgets: Iterable[Bound], *, now: datetime) -> dict[uuid.UUID, Decimal]:
    """What these budgets keep for the machine, or would keep once they are adopted."""
    asked = list(budgets)
    held = Reservation.objects.live().filter(workspace=workspace, budget_id__in=[one.id for one in asked])
    kept = dict(held.exclude(kept_until=None).values_list("budget_id", "remaining"))
    late = [one.id for one in asked if not one.is_adopted and one.period_start <= now]
    for budget in Budget.objects.filter(id__in=late).select_related("organization"):
        kept[budget.id] = claims(budget, now=now).get(workspace.pk, Decimal(0))
    return kept


def keep(reservation: Reservation, amount: Decimal, *, until: datetime) -> None:
    """Give back all but `amount` of a reservation read after its budget was locked, and mark that as kept."""
    holding.give_back(reservation, reservation.remaining - amount)
    Reservation.objects.filter(pk=reservation.pk).update(kept_until=until, expires_at=None, updated_at=Now())


def to_give_back(*, now: datetime) -> list[uuid.UUID]:
    """Ids of budgets that keep money of machines that have left, of hours that are over and booked."""
    left = over(now).exclude(IS_STILL_BOUND)
    return list(left.order_by("budget_id").values_list("budget_id", flat=True).distinct())


def give_back(*, budget_id: uuid.UUID, now: datetime) -> int:
    """Give back what the budget keeps of such hours; returns of how many machines that was."""
    with transaction.atomic():
        holding.lock([budget_id])
        kept = list(over(now).exclude(IS_STILL_BOUND).filter(budget_id=budget_id).order_by("id"))
        holding.release(kept, now=now)
    return len(kept)


IS_STILL_BOUND = Q()
"""Reservations of budgets that bind their machine now."""
for _scope, _facts in FACTS.items():
    IS_STILL_BOUND |= Q(**{"budget__scope": _scope, f"workspace__{_facts.machine_column}": F("budget__scope_id")})


def over(now: datetime) -> QuerySet[Reservation]:
    """Kept for hours that metering has come through, with all that is known of them."""
    booked = MeterMark.objects.filter(
        Q(dirty_from=None) | Q(dirty_from__gte=OuterRef("kept_until")),
        workspace=OuterRef("workspace"),
        metered_through__gte=OuterRef("kept_until"),
    )
    return Reservation.objects.live().filter(Exists(booked), kept_until__lte=now)


def kind_then(workspace: WorkSpace, record: CostRecord | None) -> Kind:
    """What the machine was when its hour began, which the record tells."""
    kind = kind_of(workspace)
    return kind if record is None else (*kind[:2], record.bundle_type, *kind[3:5], int(record.storage_gb))


def _owed(workspace: WorkSpace, record: CostRecord | None, now: datetime) -> Decimal:
    modes = modes_of(workspace, now=now)
    return _owed_by(rate_or_nothing(workspace.organization, kind_then(workspace, record), modes=modes, now=now), now)


def _owed_by(rate: Rate, now: datetime) -> Decimal:
    """What a machine owes beyond what is booked if it ends in this hour, and one session hour."""
    return rest_of_month(rate, now) + (Decimal(0) if rate.dues and rate.dues.runs_free else rate.hourly)
