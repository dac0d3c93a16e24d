"""Months in which a machine was modified: each hour is priced by what the machine was when it began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.db import connection

from costs import metering
from costs.models import CostRecord, MeterMark, Price
from costs.pricing import HOUR, hour_of, month_of
from forge.db.ids import uuid7
from tests.costs.meters import assert_sums_agree, end, reach, total
from tests.factories import WorkSpaceFactory
from workspaces.models import ConfigurationChange, WorkSpace

RECKON = import_module("costs.migrations.0021_an_hour_is_priced_as_it_began").RECKON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
HOURS = 744
"""Hours of March."""


def on(day, hour=0.0, month=3):
    return datetime(2026, month, day, tzinfo=UTC) + timedelta(hours=hour)


def price(bundle_type="STANDARD", running_mode="AUTO_STOP"):
    return Price.objects.in_force(MARCH).get(
        organization=None, region="us-east-1", bundle_type=bundle_type, operating_system="LINUX",
        running_mode=running_mode, currency="USD",
    )  # fmt: skip


def part(fee, first, last):
    """What a month's fee accrues from hour `first` of March to hour `last`, by the rule of docs/money.md."""
    return round(fee * last / HOURS, 6) - round(fee * first / HOURS, 6)


def accrued(fee, hour):
    """What a month's fee accrues in the UTC hour that begins then."""
    began, ends = month_of(hour)
    hours = (ends - began) // HOUR
    nth = (hour - began) // HOUR
    return round(fee * (nth + 1) / hours, 6) - round(fee * nth / hours, 6)


def launched(*changes, **facts):
    """A machine AVAILABLE from the first instant of March unless `changes` say otherwise."""
    return WorkSpaceFactory(history=list(changes) or [(MARCH, "AVAILABLE")], **facts)


def modify(workspace, when, **changes):
    WorkSpace.objects.filter(pk=workspace.pk).update(**changes, configured_at=when)
    workspace.refresh_from_db()


def modes(workspace):
    """(first hour, running mode, bundle type) of each stretch of records that are priced alike."""
    found = []
    for record in CostRecord.objects.filter(workspace=workspace).order_by("period_start"):
        kind = (record.running_mode, record.bundle_type, int(record.storage_gb))
        if not found or found[-1][1] != kind:
            found.append((record.period_start, kind))
    return found


def test_a_change_leaves_its_row_by_whatever_it_was_written():
    workspace = launched()
    modify(workspace, on(5, 10.5), bundle_type="PERFORMANCE")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workspaces_workspace SET user_volume_gb = 100 WHERE id = %s", [workspace.pk])
        cursor.execute("UPDATE workspaces_workspace SET user_volume_gb = 100, name = 'n' WHERE id = %s", [workspace.pk])
    first, second = ConfigurationChange.objects.filter(workspace=workspace).order_by("id")
    assert (first.occurred_at, first.before_bundle_type, first.after_bundle_type) == (
        on(5, 10.5), "STANDARD", "PERFORMANCE",
    )  # fmt: skip
    assert (second.before_user_volume_gb, second.after_user_volume_gb) == (50, 100)


def test_what_changes_before_the_launch_is_done_leaves_no_row():
    workspace = launched((MARCH, "PENDING"))
    modify(workspace, on(1, 1), bundle_type="PERFORMANCE")
    assert not ConfigurationChange.objects.exists()


def test_a_larger_bundle_is_priced_from_the_hour_after_the_change():
    """AutoStop, running without pause: 250.5 h small, then large. Hour 250 began small and stays so."""
    workspace = launched()
    metering.meter(now=on(11, 10.6))
    modify(workspace, on(11, 10.5), bundle_type="PERFORMANCE")
    metering.meter(now=APRIL)
    small, large = price(), price("PERFORMANCE")
    assert total(workspace) == (
        251 * small.hourly_amount + part(small.monthly_amount, 0, 251)
        + 493 * large.hourly_amount + part(large.monthly_amount, 251, HOURS)
    )  # fmt: skip
    assert [(hour, kind[1]) for hour, kind in modes(workspace)] == [(MARCH, "STANDARD"), (on(11, 11), "PERFORMANCE")]
    assert_sums_agree()


def test_a_volume_is_paid_for_from_the_hour_after_it_grew():
    workspace = launched(running_mode="ALWAYS_ON", user_volume_gb=100, root_volume_gb=80)
    always = price(running_mode="ALWAYS_ON")
    always.pk, always.organization, always.storage_gb_month_amount = uuid7(), workspace.organization, Decimal("0.10")
    always.included_storage_gb = 130
    always.save(force_insert=True)
    modify(workspace, on(16, 0), root_volume_gb=275)
    metering.meter(now=APRIL)
    before, after = 50 * Decimal("0.10"), 245 * Decimal("0.10")
    assert total(workspace) == always.monthly_amount + part(before, 0, 360) + part(after, 360, HOURS)
    assert [kind[2] for _, kind in modes(workspace)] == [180, 375]


def test_from_autostop_to_alwayson_both_fees_are_paid_to_the_end_of_the_month():
    """AWS: at once, prorated for the rest of the month, beside the monthly and hourly fees already billed."""
    workspace = launched()
    modify(workspace, on(21, 9.25), running_mode="ALWAYS_ON")
    metering.meter(now=on(2, month=4))
    hourly, monthly = price(), price(running_mode="ALWAYS_ON")
    switched = 20 * 24 + 10
    march = sum(record.total_cost for record in CostRecord.objects.filter(period_start__lt=APRIL))
    assert march == (
        switched * hourly.hourly_amount + hourly.monthly_amount + part(monthly.monthly_amount, switched, HOURS)
    )
    april = CostRecord.objects.filter(period_start__gte=APRIL)
    assert sum(record.total_cost for record in april) == round(monthly.monthly_amount * 24 / 720, 6)
    assert {record.billed_hours for record in april} == {0}
    assert_sums_agree()


def test_from_alwayson_to_autostop_the_month_is_paid_and_hours_count_from_the_next():
    """AWS: switching from monthly to hourly billing takes effect the following month."""
    workspace = launched(running_mode="ALWAYS_ON")
    metering.meter(now=on(10, 8))
    modify(workspace, on(10, 8.5), running_mode="AUTO_STOP")
    metering.meter(now=on(1, 5, month=4))
    hourly, monthly = price(), price(running_mode="ALWAYS_ON")
    march = sum(record.total_cost for record in CostRecord.objects.filter(period_start__lt=APRIL))
    assert march == monthly.monthly_amount
    april = sum(record.total_cost for record in CostRecord.objects.filter(period_start__gte=APRIL))
    assert april == 5 * hourly.hourly_amount + round(hourly.monthly_amount * 5 / 720, 6)
    assert_sums_agree()


def test_to_and_fro_within_a_month_is_paid_as_alwayson_once():
    workspace = launched(running_mode="ALWAYS_ON")
    modify(workspace, on(5), running_mode="AUTO_STOP")
    modify(workspace, on(9, 3.3), running_mode="ALWAYS_ON")
    modify(workspace, on(20, 1), running_mode="AUTO_STOP")
    metering.meter(now=APRIL)
    assert total(workspace) == price(running_mode="ALWAYS_ON").monthly_amount
    assert [kind[0] for _, kind in modes(workspace)] == ["ALWAYS_ON"]


def test_a_machine_that_ends_after_a_switch_owes_the_rest_of_both_fees():
    workspace = launched()
    modify(workspace, on(11, 0.5), running_mode="ALWAYS_ON")
    metering.meter(now=on(12))
    reach(workspace, on(15, 7.5), "TERMINATED")
    metering.meter(now=APRIL)
    hourly, monthly = price(), price(running_mode="ALWAYS_ON")
    assert total(workspace) == (
        241 * hourly.hourly_amount + hourly.monthly_amount + part(monthly.monthly_amount, 241, HOURS)
    )
    assert CostRecord.objects.order_by("-period_start").first().period_start == on(15, 7)
    assert MeterMark.objects.get(workspace=workspace).next_due_at is None
    assert_sums_agree()


def test_after_the_month_of_a_switch_a_machine_is_metered_on_the_short_path_again():
    workspace = launched()
    modify(workspace, on(21, 9.25), running_mode="ALWAYS_ON")
    metering.meter(now=on(31, 22.5))
    assert MeterMark.objects.get(workspace=workspace).dirty_from is not None
    metering.meter(now=on(1, 1.5, month=4))
    assert MeterMark.objects.get(workspace=workspace).dirty_from is None


def test_after_another_change_it_is_with_the_next_hour():
    workspace = launched()
    modify(workspace, on(21, 9.25), bundle_type="PERFORMANCE")
    metering.meter(now=on(21, 9.5))
    assert MeterMark.objects.get(workspace=workspace).dirty_from is not None
    metering.meter(now=on(21, 10.01))
    assert MeterMark.objects.get(workspace=workspace).dirty_from is None


@pytest.mark.parametrize("sweeps", [(), (50,), (35, 40, 45, 50), range(31, 60)])
@pytest.mark.parametrize(("before", "after"), [("STANDARD", "PERFORMANCE"), ("PERFORMANCE", "STANDARD")])
@pytest.mark.parametrize("ends", [False, True])
def test_a_session_hour_that_begins_after_the_change_is_priced_as_its_utc_hour(before, after, ends, sweeps):
    """Session hours begin at :55, the machine is resized at 9:30: hour 9 is the former's, whenever metering ran."""
    workspace = launched((on(10, 2 + 55 / 60), "AVAILABLE"), bundle_type=before)
    metering.meter(now=on(10, 9 + 20 / 60))
    modify(workspace, on(10, 9.5), bundle_type=after)
    for minute in sweeps:
        metering.meter(now=on(10, 9 + minute / 60))
    if ends:
        end(workspace, on(10, 9 + 58 / 60))
    metering.meter(now=on(10, 12))
    nine = CostRecord.objects.get(workspace=workspace, period_start=on(10, 9))
    former, first = price(before), 9 * 24 + 9
    owed = part(former.monthly_amount, first, HOURS if ends else first + 1)
    assert (nine.bundle_type, nine.billed_hours, nine.compute_cost) == (before, 1, former.hourly_amount + owed)
    assert_sums_agree()


@pytest.mark.parametrize("sweeps", [(), (50,), (7, 30, 50), range(7, 60)])
@pytest.mark.parametrize("change", [{"bundle_type": "PERFORMANCE"}, {"running_mode": "ALWAYS_ON"}], ids=min)
@pytest.mark.parametrize("began", [on(10, 9), on(1, month=4)], ids=["mid-month", "first of the month"])
def test_an_hour_that_was_booked_before_its_change_became_known_keeps_its_price(began, change, sweeps):
    """A look at AWS that began two minutes before the hour finds the change, and says so seven minutes later."""
    workspace = launched((began - timedelta(hours=6, minutes=5), "AVAILABLE"))
    metering.meter(now=began + timedelta(minutes=1))
    modify(workspace, began - timedelta(minutes=2), **change)
    for minute in sweeps:
        metering.meter(now=began + timedelta(minutes=minute))
    metering.meter(now=began + timedelta(hours=2))
    record = CostRecord.objects.get(workspace=workspace, period_start=began)
    assert (record.bundle_type, record.running_mode, record.billed_hours) == ("STANDARD", "AUTO_STOP", 1)
    assert record.compute_cost == price().hourly_amount + accrued(price().monthly_amount, began)
    assert_sums_agree()


def test_a_mark_that_had_gone_back_to_the_short_path_too_early_is_reckoned_anew():
    """The migration finds it, in the hour of the change and the next; others it leaves."""
    hour = hour_of(datetime.now(UTC))
    workspace, other = (launched((hour - timedelta(hours=5, minutes=5), "AVAILABLE")) for _ in range(2))
    modify(workspace, hour + timedelta(minutes=30), bundle_type="PERFORMANCE")
    metering.meter(now=hour + timedelta(minutes=40))
    MeterMark.objects.update(dirty_from=None)
    with connection.cursor() as cursor:
        cursor.execute(RECKON)
        assert cursor.rowcount == 1
    assert MeterMark.objects.get(workspace=other).dirty_from is None
    metering.meter(now=hour + timedelta(hours=1))
    record = CostRecord.objects.get(workspace=workspace, period_start=hour)
    assert record.compute_cost == price().hourly_amount + accrued(price().monthly_amount, hour)
