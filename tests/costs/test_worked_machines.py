"""Whole machines against the worked examples, metered late in one go, and step by step as in operation."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from audit.actors import Actor
from costs import metering
from costs.models import CostRecord, DailyCost, MeterMark, Price
from costs.pricing import cents, fee_by_hour, storage_fee
from forge.db.ids import uuid7
from tests.costs import worked
from tests.factories import WorkSpaceFactory, write_history
from workspaces.models import WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]


def assert_as_worked(row, machine, spent):
    records = list(CostRecord.objects.filter(workspace=machine).order_by("period_start"))
    by_month = defaultdict(Decimal)
    for record in records:
        by_month[f"{record.period_start:%Y-%m}"] += record.total_cost
    total = sum(by_month.values(), Decimal(0))
    assert len(records) == int(row["records"])
    assert sum(record.billed_hours for record in records) == int(row["billed_hours"])
    assert sum(record.compute_cost for record in records) == Decimal(row["compute_cost"])
    assert sum(record.storage_cost for record in records) == Decimal(row["storage_cost"])
    assert total == Decimal(row["total_cost"])
    assert str(cents(total)) == row["total_shown"]
    assert by_month == worked.months(row["months"])
    assert {month: cents(amount) for month, amount in by_month.items()} == worked.months(row["months_shown"])
    machine.refresh_from_db()
    assert machine.cost_to_date == total
    assert sum(daily.total_cost for daily in DailyCost.objects.all()) == total
    assert sum(daily.billed_hours for daily in DailyCost.objects.all()) == int(row["billed_hours"])
    assert sum(amount for _, _, amount in spent) == total
    assert all(amount != 0 for _, _, amount in spent)


@pytest.mark.catalogue(3)
@pytest.mark.parametrize(**worked.each("machines"))
def test_a_machine_metered_late_costs_what_was_worked_out(row, spent):
    machine = WorkSpaceFactory(
        bundle_type=row["bundle_type"], running_mode=row["running_mode"], history=worked.history(row["history"])
    )
    metering.meter(now=worked.instant(row["now"]))
    assert_as_worked(row, machine, spent)
    assert metering.meter(now=worked.instant(row["now"]))["machines"] == 0
    assert_as_worked(row, machine, spent)


def with_storage(row, **fields):
    """The machine of a line of storage.csv, at a price of its organization with this storage."""
    machine = WorkSpaceFactory(
        bundle_type=row["bundle_type"],
        running_mode=row["running_mode"],
        root_volume_gb=int(row["storage_gb"]) - 50,
        user_volume_gb=50,
        **fields,
    )
    price = Price.objects.get(
        organization=None,
        **{name: getattr(machine, name) for name in ("region", "bundle_type", "operating_system", "running_mode")},
    )
    price.pk, price.organization = uuid7(), machine.organization
    price.valid_from = datetime(2026, 1, 1, tzinfo=UTC)
    price.included_storage_gb, price.storage_gb_month_amount = int(row["included_gb"]), Decimal(row["per_gb_month"])
    price.save(force_insert=True)
    return machine


def assert_storage_as_worked(row, machine):
    records = list(CostRecord.objects.filter(workspace=machine))
    for name in ("compute_cost", "storage_cost", "total_cost"):
        assert sum(getattr(record, name) for record in records) == Decimal(row[name]), name
    by_month = defaultdict(Decimal)
    for record in records:
        by_month[f"{record.period_start:%Y-%m}"] += record.total_cost
    assert by_month == worked.months(row["months"])
    assert sum(daily.storage_cost for daily in DailyCost.objects.all()) == Decimal(row["storage_cost"])


@pytest.mark.parametrize(**worked.each("storage"))
def test_storage_metered_late_costs_what_was_worked_out(row):
    machine = with_storage(row, history=worked.history(row["history"]))
    metering.meter(now=worked.instant(row["now"]))
    assert_storage_as_worked(row, machine)


@pytest.mark.parametrize(**worked.each("storage"))
def test_storage_metered_as_the_machine_lives_costs_the_same(row):
    changes = worked.history(row["history"])
    now = min(worked.instant(row["now"]), changes[-1][0] + timedelta(days=32))
    machine = with_storage(row, history=changes[:1])
    live_through(machine, changes, now, timedelta(hours=31))
    assert_storage_as_worked(row, machine)


@pytest.mark.parametrize(**worked.each("storage"))
def test_python_reckons_the_same_storage(row):
    fee = storage_fee(int(row["storage_gb"]), int(row["included_gb"]), Decimal(row["per_gb_month"]))
    at = {state: when for when, state in worked.history(row["history"])}
    booked = fee_by_hour(fee, at.get("AVAILABLE"), at.get("TERMINATED"), worked.instant(row["now"]))
    assert sum(booked.values()) == Decimal(row["storage_cost"])


def live_through(machine, changes, now, step):
    """Meter every `step` and right after each change, as the sweep does, until `now`."""
    for (since, source), (until, target) in zip(changes, [*changes[1:], (now, None)], strict=True):
        at = since
        while at < min(until, now):
            at = min(at + step, until, now)
            metering.meter(now=at)
        if target is None:
            break
        reach(machine, source, until, target)
        if target == "TERMINATED":
            metering.close(workspaces=[machine], actor=Actor.job("test"), now=until)


def reach(machine, source, at, state):
    machine.state, machine.state_since = state, at
    if state == "AVAILABLE" and machine.launched_at is None:
        machine.launched_at = at
    if state in ("TERMINATED", "FAILED"):
        machine.terminated_at = at
    machine.save(update_fields=["state", "state_since", "launched_at", "terminated_at"])
    write_history(machine, [(at, state)], source=source)


@pytest.mark.catalogue(3)
@pytest.mark.parametrize(**worked.each("machines"))
def test_a_machine_metered_as_it_lives_costs_the_same(row, spent):
    changes = worked.history(row["history"])
    now = min(worked.instant(row["now"]), changes[-1][0] + timedelta(days=32))
    machine = WorkSpaceFactory(bundle_type=row["bundle_type"], running_mode=row["running_mode"], history=changes[:1])
    step = timedelta(minutes=19) if now - changes[0][0] < timedelta(days=2) else timedelta(hours=31)
    live_through(machine, changes, now, step)
    if row["now"] < "2027":
        metering.meter(now=worked.instant(row["now"]))
    assert_as_worked(row, machine, spent)
    if changes[-1][1] in ("TERMINATED", "FAILED"):
        assert MeterMark.objects.get(workspace=machine).next_due_at is None


def test_there_is_a_mark_for_every_machine_from_the_first_moment_on():
    machine = WorkSpaceFactory()
    mark = MeterMark.objects.get(workspace=machine)
    assert mark.next_due_at == mark.dirty_from == WorkSpace.objects.get(pk=machine.pk).state_since
