"""What must hold of all machines whatever happened, each in a function that names what is broken."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from budgets.models import Budget, Reservation
from costs.models import CostRecord, DailyCost
from tests.workspaces.machine.law import LEGAL, TERMINAL
from tests.workspaces.machine.money import HOUR, MILLION, Booked, Kind, Life, Terms, booked
from tests.workspaces.machine.sky import Sky
from workspaces.models import ConfigurationChange, StateChange, WorkSpace


def histories() -> dict[object, list[StateChange]]:
    """The changes of each machine, oldest first."""
    found: dict[object, list[StateChange]] = defaultdict(list)
    for change in StateChange.objects.order_by("id"):
        found[change.workspace_id].append(change)
    return found


def check_moves(machines: Mapping[uuid.UUID, WorkSpace]) -> None:
    """Every recorded move is legal, follows the one before without a gap, and leads to where the machine is."""
    recorded = histories()
    assert recorded.keys() == machines.keys()
    for workspace_id, changes in recorded.items():
        state, at = "", changes[0].occurred_at
        for change in changes:
            assert change.from_state == state, f"{workspace_id}: {change} after {state}"
            assert change.to_state in LEGAL[state], f"{workspace_id}: illegal {change}"
            assert change.occurred_at >= at, f"{workspace_id}: {change} lies before the one before"
            state, at = change.to_state, change.occurred_at
        machine = machines[workspace_id]
        assert (machine.state, machine.state_since) == (state, at)
        assert (machine.terminated_at is not None) == (state in TERMINAL)


def check_one_machine_each(machines: Mapping[uuid.UUID, WorkSpace], sky: Sky) -> None:
    """No machine of ours is twice in AWS, and none that has ended here lives on there."""
    live = Counter(one.workspace_id for one in sky.machines() if one.is_live and one.workspace_id)
    assert all(count == 1 for count in live.values()), f"twice in AWS: {live}"
    states = {str(pk): machine.state for pk, machine in machines.items()}
    assert live.keys() <= states.keys()
    ended = [workspace_id for workspace_id in live if states[workspace_id] in TERMINAL]
    assert not ended, f"{ended} have ended here and live on in AWS"


def check_reserved(machines: Mapping[uuid.UUID, WorkSpace]) -> None:
    """What a budget says is reserved is what its reservations hold: one of each live machine, none of an ended one."""
    live = {pk for pk, machine in machines.items() if machine.state not in TERMINAL}
    held: dict[object, dict[uuid.UUID, Decimal]] = defaultdict(dict)
    for reservation in Reservation.objects.live():
        assert reservation.workspace_id not in held[reservation.budget_id]
        held[reservation.budget_id][reservation.workspace_id] = reservation.remaining
    for budget in Budget.objects.all():
        assert held[budget.id].keys() == live, f"{budget} holds money of others than the live machines"
        assert budget.reserved == sum(held[budget.id].values(), Decimal(0)), budget


def check_ended(machines: Mapping[uuid.UUID, WorkSpace], terms: dict[str, dict[tuple[str, str], Terms]]) -> None:
    """The books of a machine that has ended are closed with its end: whoever ended it booked what it owed."""
    ended = {pk for pk, machine in machines.items() if machine.state == "TERMINATED"}
    recorded: dict[object, dict[datetime, int]] = defaultdict(dict)
    for record in CostRecord.objects.filter(workspace_id__in=ended):
        recorded[record.workspace_id][record.period_start] = int(record.total_cost * MILLION)
    for machine, life in lives():
        if machine.id in ended and life.ended_at:
            expected = booked(life, terms[machine.service_type], life.ended_at)
            owed = {hour: one.compute + one.storage for hour, one in expected.items()}
            assert recorded[machine.id] == owed, f"machine {machine.id} has ended, and its books are not closed"


def check_money(terms: dict[str, dict[tuple[str, str], Terms]], now: datetime) -> None:
    """Each machine's records, after metering at `now`, are what its history costs: no hour missing, none too many."""
    recorded: dict[object, dict[datetime, Booked]] = defaultdict(dict)
    for record in CostRecord.objects.all():
        assert record.total_cost == record.compute_cost + record.storage_cost
        assert record.period_start not in recorded[record.workspace_id], "an hour is charged twice"
        is_over = record.period_start + HOUR < now  # until then its seconds are as old as the last booking
        recorded[record.workspace_id][record.period_start] = Booked(
            int(record.billed_hours),
            int(record.compute_cost * MILLION),
            int(record.storage_cost * MILLION),
            record.running_seconds if is_over else None,
        )
    for machine, life in lives():
        expected = booked(life, terms[machine.service_type], now)
        assert recorded[machine.id] == expected, _difference(recorded[machine.id], expected, life)
        total = sum(one.compute + one.storage for one in expected.values())
        assert machine.cost_to_date * MILLION == total
    check_sums()


def check_sums() -> None:
    """Records, daily sums and what budgets have spent are the same money."""
    total = sum((record.total_cost for record in CostRecord.objects.all()), Decimal(0))
    assert sum((day.total_cost for day in DailyCost.objects.all()), Decimal(0)) == total
    for budget in Budget.objects.all():
        records = CostRecord.objects.filter(period_start__gte=budget.period_start, period_start__lt=budget.period_end)
        spent = sum((record.total_cost for record in records), Decimal(0))
        assert budget.spent == spent, f"{budget} has spent {budget.spent}, its records are {spent}"


def lives() -> list[tuple[WorkSpace, Life]]:
    """Each machine with its history as metering finds it."""
    changes = histories()
    kinds: dict[object, list[tuple[datetime, Kind]]] = defaultdict(list)
    for change in ConfigurationChange.objects.order_by("occurred_at", "id"):
        before = change.before
        kinds[change.workspace_id].append(
            (change.occurred_at, Kind(before.bundle_type, before.running_mode, before.storage_gb))
        )
    return [
        (
            machine,
            Life(
                states=[(change.occurred_at, change.to_state) for change in changes[machine.id]],
                kinds=kinds[machine.id],
                kind=Kind(machine.bundle_type, machine.running_mode, machine.root_volume_gb + machine.user_volume_gb),
            ),
        )
        for machine in WorkSpace.objects.all()
    ]


def _difference(found: dict[datetime, Booked], expected: dict[datetime, Booked], life: Life) -> str:
    hours = sorted(hour for hour in found.keys() | expected.keys() if found.get(hour) != expected.get(hour))
    told = [f"{hour:%d %H}h: booked {found.get(hour)}, expected {expected.get(hour)}" for hour in hours[:5]]
    return "\n".join([*told, *(f"{at:%d %H:%M:%S} {state}" for at, state in life.states), str(life.kinds)])
