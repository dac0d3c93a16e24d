"""What budgets keep for a machine that was moved or became cheaper, until the UTC hour of that is over and booked.

A cost record has one team, one project and one price, those of when its hour began. So whatever that hour still brings
is theirs: the rest of the month's fees, should the machine end in it, and a session hour that begins later. The budgets
that it has left, and those that it needs less of (budgets.fitting), keep so much of what they held, that nobody else
has the money meanwhile; `check_budgets` gives back what was not needed. A machine that comes back finds it there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import cast

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from budgets import holding
from budgets.models import Budget, Reservation
from budgets.rates import kind_of, rate_or_nothing, rest_of_month
from budgets.scopes import FACTS
from costs.dues import modes_of
from costs.models import CostRecord, MeterMark
from costs.pricing import hour_of, hour_up
from forge.db.ids import uuid7
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace

MOVABLE = (Budget.Scope.TEAM, Budget.Scope.PROJECT)
"""The scopes that a machine may leave."""


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
    if hour_of(now) == now:
        return False
    record = CostRecord.objects.filter(workspace=workspace, period_start=hour_of(now)).first()
    stored = workspace.root_volume_gb + workspace.user_volume_gb
    is_now = (workspace.bundle_type, workspace.running_mode, Decimal(stored))
    return record is not None and (record.bundle_type, record.running_mode, record.storage_gb) != is_now


def _payer(scope: str, record: CostRecord | None, workspace: WorkSpace) -> uuid.UUID | None:
    """Who of this scope pays the hour: as its record says, or the machine where there is none."""
    facts = FACTS[scope]
    payer = getattr(workspace, facts.machine_column) if record is None else getattr(record, facts.record_column)
    return cast("uuid.UUID | None", payer)


def claims(budget: Budget, *, now: datetime) -> Iterator[tuple[WorkSpace, Decimal]]:
    """The machines that left the scope of an adopted budget in the hour that has begun, and what it must keep for each.

    A move has booked the hour to the scope that it left, so the records of the hour tell.
    """
    if budget.scope not in MOVABLE or hour_of(now) == now:
        return
    facts = FACTS[budget.scope]
    records = CostRecord.objects.filter(
        **{facts.record_column: budget.scope_id},
        organization_id=budget.organization_id,
        period_start=hour_of(now),
        workspace__state__in=LIVE_STATES,
    ).exclude(**{f"workspace__{facts.machine_column}": budget.scope_id})
    for record in records.select_related("workspace__organization").order_by("workspace_id"):
        yield record.workspace, _owed(record.workspace, record, now)


def keep_late(budget: Budget, *, now: datetime) -> Decimal:
    """Write what a budget that is being adopted must keep for the machines that left in this hour; returns the sum."""
    kept = [
        Reservation(
            organization_id=budget.organization_id,
            budget=budget,
            workspace=machine,
            amount=owed,
            remaining=owed,
            kept_until=hour_up(now),
            correlation_id=uuid7(),
        )
        for machine, owed in claims(budget, now=now)
    ]
    Reservation.objects.bulk_create(kept)
    return sum((one.remaining for one in kept), Decimal(0))


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


def _owed(workspace: WorkSpace, record: CostRecord | None, now: datetime) -> Decimal:
    """What the machine owes beyond what is booked if it ends in this hour, and one session hour.

    The hour is priced by what the machine was when it began, which the record tells.
    """
    kind = kind_of(workspace)
    if record is not None:
        kind = (*kind[:2], record.bundle_type, *kind[3:5], int(record.storage_gb))
    modes = modes_of(workspace, now=now)
    rate = rate_or_nothing(workspace.organization, kind, modes=modes, now=now)
    return rest_of_month(rate, now) + (Decimal(0) if rate.dues and rate.dues.runs_free else rate.hourly)
