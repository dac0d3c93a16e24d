"""Months in which a machine was modified: each hour is priced by what the machine was when it began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from costs import metering
from costs.models import CostRecord, MeterMark, Price
from forge.db.ids import uuid7
from tests.costs.meters import assert_sums_agree, booked, reach, total
from tests.factories import WorkSpaceFactory
from workspaces.models import ConfigurationChange, WorkSpace

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


def test_after_another_change_it_is_at_once():
    workspace = launched()
    modify(workspace, on(21, 9.25), bundle_type="PERFORMANCE")
    metering.meter(now=on(21, 9.5))
    assert MeterMark.objects.get(workspace=workspace).dirty_from is None


def test_any_rhythm_of_metering_books_the_same():
    """Punctual or days late, behind several changes: the same records to the millionth as every seven minutes."""
    history = [
        (on(27, 9.1), "AVAILABLE"),
        (on(27, 18), "STOPPED"),
        (on(28, 8.4), "STARTING"),
        (on(28, 8.5), "AVAILABLE"),
    ]
    changes = [
        (on(27, 12.5), {"bundle_type": "PERFORMANCE"}),
        (on(28, 20.2), {"running_mode": "ALWAYS_ON"}),
        (on(29, 6), {"root_volume_gb": 175, "user_volume_gb": 100}),
        (on(30, 1.7), {"running_mode": "AUTO_STOP"}),
        (on(2, 3.3, month=4), {"running_mode": "ALWAYS_ON"}),
    ]
    end = on(3, 12, month=4) + timedelta(microseconds=1)

    def follow(step):
        workspace = WorkSpaceFactory(history=history[:1])
        steps = sorted([*((at, state) for at, state in history[1:]), *changes, (end, None)], key=lambda one: one[0])
        now = history[0][0]
        for at, what in steps:
            while now + step < at:
                now += step
                metering.meter(now=now)
            if isinstance(what, str):
                reach(workspace, at, what)
            elif what:
                modify(workspace, at, **what)
        metering.meter(now=end)
        return workspace

    one = follow(timedelta(minutes=7))
    for minutes in (17, 50, 1440, 40 * 1440):
        other = follow(timedelta(minutes=minutes))
        (first, _), (second, _) = booked(one), booked(other)
        differing = [ours for ours, theirs in zip(first[0], second[0], strict=True) if ours != theirs]
        assert differing == [], f"metered every {minutes} minutes"
        assert total(one) == total(other) > 0
    assert_sums_agree()
