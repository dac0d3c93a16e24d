"""Following what was accepted: when its change took effect, and what it saves from then on, month by month."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from audit.actors import Actor
from costs.advice import facts, keeping, savings
from costs.advice.modes import Rates
from costs.models import Advice, AdviceSaving, Price
from costs.pricing import session_hours
from forge.operations.models import Operation
from workspaces.lifecycle import State
from workspaces.models import ConfigurationChange, StateChange, WorkSpace

CHUNK = 100
TOLD_FOR = timedelta(days=62)
"""Months that begin so long before now may still change: late states, corrected prices, the provider's bill."""

_BOOKED = """
    SELECT asked.nr, coalesce(sum(record.billed_hours), 0), coalesce(sum(record.total_cost), 0),
           coalesce(sum(record.data_transfer_cost), 0)
      FROM unnest(%(numbers)s::int[], %(ids)s::uuid[], %(firsts)s::timestamptz[], %(ends)s::timestamptz[])
           AS asked (nr, id, first, until)
      LEFT JOIN costs_costrecord record
        ON record.workspace_id = asked.id AND record.period_start >= asked.first AND record.period_start < asked.until
     GROUP BY asked.nr
     ORDER BY asked.nr
"""


@dataclass
class Followed:
    """Counts: changes that took effect, that did not come about, advice whose savings were reckoned, and closed."""

    effective: int = 0
    failed: int = 0
    reckoned: int = 0
    closed: int = 0


@dataclass(frozen=True)
class _Piece:
    """Hours of one month at one price of the earlier configuration, whose records are to be summed."""

    first: datetime
    end: datetime
    price: Price


def follow(*, actor: Actor, now: datetime) -> Followed:
    """Look at all that was accepted and is not closed, a chunk at a time, each in a transaction of its own."""
    done = Followed()
    after: uuid.UUID | None = None
    while chunk := _chunk(after):
        after = chunk[-1].id
        waiting = [one for one in chunk if one.effective_at is None]
        _take_effect(waiting, done, actor=actor, now=now)
        with transaction.atomic():
            _reckon(chunk, done, now=now)
    return done


def _chunk(after: uuid.UUID | None) -> list[Advice]:
    rows = Advice.objects.counting().select_related("workspace__organization").order_by("id")
    return list((rows.filter(id__gt=after) if after else rows)[:CHUNK])


def _take_effect(waiting: Sequence[Advice], done: Followed, *, actor: Actor, now: datetime) -> None:
    """Note when each change was made; one that its operation failed to make leaves the advice OBSOLETE."""
    ended = Operation.objects.filter(pk__in=[one.operation_id for one in waiting], status__in=["failed", "cancelled"])
    failed = set(ended.values_list("pk", flat=True))
    lost = {}
    for advice in waiting:
        advice.effective_at = _made_at(advice)
        if advice.effective_at is not None:
            Advice.objects.filter(pk=advice.pk).update(effective_at=advice.effective_at, updated_at=now)
            done.effective += 1
        elif advice.operation_id in failed or advice.workspace.state in (State.TERMINATED, State.FAILED):
            lost[advice.pk] = f"The change did not come about: operation {advice.operation_id}."
    if lost:
        rows = [one for one in waiting if one.pk in lost]
        done.failed += keeping.drop_ended(advice=rows, reasons=lost, actor=actor, now=now)


def _made_at(advice: Advice) -> datetime | None:
    workspace = advice.workspace
    if advice.action == Advice.Action.TERMINATE:
        return workspace.terminated_at if workspace.state == State.TERMINATED else None
    if advice.action == Advice.Action.STOP:
        stops = StateChange.objects.filter(
            workspace=workspace, to_state=State.STOPPED, occurred_at__gte=advice.decided_at
        )
        return stops.order_by("occurred_at").values_list("occurred_at", flat=True).first()
    made = {f"after_{name}": value for name, value in advice.changes.items()}
    changes = ConfigurationChange.objects.filter(workspace=workspace, occurred_at__gte=advice.decided_at, **made)
    return changes.order_by("occurred_at").values_list("occurred_at", flat=True).first()


# -- Reckoning -------------------------------------------------------------------------------------------------------


def _reckon(rows: Sequence[Advice], done: Followed, *, now: datetime) -> None:
    for advice in rows:
        if advice.effective_at is None:
            continue
        first = savings.counted_from(advice.action, advice.effective_at)
        end, is_final = savings.counted_until(advice.effective_at, _ends(advice, advice.effective_at), now)
        pieces = _pieces(advice, _start(advice, first, now), end)
        if advice.action == Advice.Action.STOP:
            _store_stop(advice, first, end)
        else:
            _store(advice, pieces)
        done.reckoned += 1
        if is_final and now - end > TOLD_FOR:
            Advice.objects.filter(pk=advice.pk).update(closed_at=end, updated_at=now)
            done.closed += 1


def _start(advice: Advice, first: datetime, now: datetime) -> datetime:
    """From where the months are reckoned anew: those that are settled stay, unless one of them was never reckoned."""
    newest = advice.savings.order_by("-month").values_list("month", flat=True).first()
    if newest is None:
        return first
    settled = (now - TOLD_FOR).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    known = settled.replace(year=newest.year, month=newest.month)
    return max(first, min(settled, known))


def _ends(advice: Advice, effective_at: datetime) -> list[datetime | None]:
    """What ends the comparison: another change of the same fields, the machine's end, or when it would have ended."""
    workspace = advice.workspace
    if advice.action == Advice.Action.TERMINATE:
        return [workspace.lives_until(effective_at)]
    later = {"workspace": workspace, "occurred_at__gt": effective_at}
    if advice.action == Advice.Action.STOP:
        starts = StateChange.objects.filter(to_state=State.STARTING, **later)
        return [workspace.terminated_at, starts.order_by("occurred_at").values_list("occurred_at", flat=True).first()]
    another = Q()
    for name, value in advice.changes.items():
        another |= ~Q(**{f"after_{name}": value})
    changes = ConfigurationChange.objects.filter(another, **later)
    return [workspace.terminated_at, changes.order_by("occurred_at").values_list("occurred_at", flat=True).first()]


def _pieces(advice: Advice, first: datetime, end: datetime) -> list[_Piece]:
    """The months of [first, end), each cut where the price of the earlier configuration changes."""
    prices = _prices_before(advice.workspace, advice.before, first, end) if first < end else []
    pieces = []
    for month, until in savings.months_of(first, end):
        for begins, ends, price in prices:
            if max(month, begins) < min(until, ends):
                pieces.append(_Piece(max(month, begins), min(until, ends), price))
    return pieces


def _prices_before(
    workspace: WorkSpace, before: dict[str, Any], first: datetime, end: datetime
) -> list[tuple[datetime, datetime, Price]]:
    """The prices of the earlier configuration in [first, end) from when until when: the organization's own win."""
    of_kind = Price.objects.filter(
        Q(valid_to__isnull=True) | Q(valid_to__gt=first),
        Q(organization__isnull=True) | Q(organization=workspace.organization),
        valid_from__lt=end,
        service_type=workspace.service_type,
        region=workspace.region,
        bundle_type=before["bundle_type"],
        operating_system=workspace.operating_system,
        running_mode=before["running_mode"],
        currency=workspace.organization.currency,
    )
    prices = list(of_kind.order_by(F("organization").asc(nulls_last=True), "valid_from"))
    turns = {first, end}
    for price in prices:
        turns |= {at for at in (price.valid_from, price.valid_to) if at is not None and first < at < end}
    stretches = []
    for begins, ends in pairwise(sorted(turns)):
        held = [one for one in prices if one.valid_from <= begins and (one.valid_to is None or one.valid_to >= ends)]
        stretches += [(begins, ends, price) for price in held[:1]]
    return stretches


def _store(advice: Advice, pieces: Sequence[_Piece]) -> None:
    """Write the months of the pieces over what was there; of a machine that is AlwaysOn the hours are foreseen."""
    if not pieces:
        return
    is_ended = advice.action == Advice.Action.TERMINATE
    is_observed = not is_ended and advice.changes.get("running_mode") != "ALWAYS_ON"
    machine = advice.workspace
    asked: dict[str, Any] = {
        "numbers": list(range(len(pieces))),
        "ids": [machine.id] * len(pieces),
        "firsts": [piece.first for piece in pieces],
        "ends": [piece.end for piece in pieces],
    }
    with connection.cursor() as cursor:
        cursor.execute(_BOOKED, asked)
        sums = cursor.fetchall()
    foreseen = {} if is_observed or is_ended else _hours_by_connections(machine, pieces[0].first, pieces[-1].end)
    by_month: dict[datetime, list[savings.Stretch]] = {}
    for piece, (_, hours, booked, transfer) in zip(pieces, sums, strict=True):
        would_run = hours if is_observed else Decimal(sum(piece.first <= at < piece.end for at in foreseen))
        rates = facts.rates_of(piece.price, machine)
        month = piece.first.replace(day=1, hour=0)
        stretch = savings.Stretch(piece.first, piece.end, rates, would_run, booked, transfer)
        by_month.setdefault(month, []).append(stretch)
    for month, stretches in by_month.items():
        _write(advice, month, stretches[-1].end, savings.realised(stretches), is_observed=is_observed)


def _hours_by_connections(machine: WorkSpace, first: datetime, end: datetime) -> dict[datetime, None]:
    """When started hours would have begun in [first, end) under AutoStop, by the machine's connections."""
    found = facts.runs([machine], since=first, until=end).get(machine.id, [])
    return dict.fromkeys(session_hours(found, end))


def _store_stop(advice: Advice, first: datetime, end: datetime) -> None:
    """A stop has saved the started hours up to the next start, a day of them at most."""
    until = min(end, first + timedelta(hours=savings.LONGEST_STOP))
    by_month: dict[datetime, list[savings.Stretch]] = {}
    for piece in _pieces(advice, first, until):
        rates = Rates(Decimal(0), piece.price.hourly_amount)
        hours = Decimal((piece.end - piece.first) // timedelta(hours=1))
        month = piece.first.replace(day=1, hour=0)
        by_month.setdefault(month, []).append(savings.Stretch(piece.first, piece.end, rates, hours))
    for month, stretches in by_month.items():
        _write(advice, month, stretches[-1].end, savings.realised(stretches), is_observed=False)


def _write(advice: Advice, month: datetime, through: datetime, sums: savings.Realised, *, is_observed: bool) -> None:
    AdviceSaving.objects.update_or_create(
        advice=advice,
        month=month.date(),
        defaults={
            "organization_id": advice.organization_id,
            "through": through,
            "would_have_cost": sums.would_have_cost,
            "booked_cost": sums.booked,
            "saved_amount": sums.saved,
            "basis": "METERED" if is_observed else "ESTIMATED",
        },
    )
