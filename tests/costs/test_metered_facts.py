"""What metering books: states told late, ends, whose an hour is, at which price; and what the database refuses."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from audit.actors import Actor
from costs import metering, pricing
from costs.models import CostRecord, DailyCost, MeterMark, Price
from tests.costs import spending
from tests.costs.meters import assert_sums_agree, at, machine, reach, total, untouched
from tests.factories import ProjectFactory, TeamFactory, write_history

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]


# -- What becomes known late -----------------------------------------------------------------------------------------


def test_a_stop_that_becomes_known_late_takes_back_the_hours_after_it():
    workspace = machine((9.1, "AVAILABLE"))
    metering.meter(now=at(13.5))
    reach(workspace, at(11.05), "STOPPED")
    metering.meter(now=at(13.6))
    records = CostRecord.objects.filter(workspace=workspace).order_by("period_start")
    assert [int(record.billed_hours) for record in records] == [1, 1, 0, 0, 0]
    assert [int(record.running_seconds) for record in records] == [3240, 3600, 180, 0, 0]
    assert total(workspace) == Decimal("0.6") + pricing.accruals(Decimal("9.75"), at(9), at(14))
    assert min(amount for _, _, amount in spending.collected) == Decimal("-0.3")
    assert_sums_agree()


def test_what_the_provider_has_billed_is_not_reckoned_anew():
    workspace = machine((9.1, "AVAILABLE"))
    metering.meter(now=at(13.5))
    billed = CostRecord.objects.filter(workspace=workspace, period_start=at(12))
    billed.update(basis="BILLED")
    before = billed.values().get()
    reach(workspace, at(11.05), "STOPPED")
    metering.meter(now=at(13.6))
    assert billed.values().get() == before
    records = CostRecord.objects.filter(workspace=workspace).order_by("period_start")
    assert [int(record.billed_hours) for record in records] == [1, 1, 0, 1, 0]


def test_an_end_in_the_month_before_that_becomes_known_late_owes_nothing_of_the_new_month():
    workspace = machine((datetime(2026, 3, 30, tzinfo=UTC), "AVAILABLE"), running_mode="ALWAYS_ON")
    metering.meter(now=datetime(2026, 4, 1, 3, tzinfo=UTC))
    reach(workspace, datetime(2026, 3, 31, 23, 50, tzinfo=UTC), "TERMINATED")
    metering.meter(now=datetime(2026, 4, 1, 4, tzinfo=UTC))
    fee = Decimal(35)
    assert total(workspace) == pricing.accruals(
        fee, datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )
    april = CostRecord.objects.filter(workspace=workspace, period_start__gte=datetime(2026, 4, 1, tzinfo=UTC))
    assert {record.total_cost for record in april} == {0}
    assert MeterMark.objects.get(workspace=workspace).next_due_at is None
    assert_sums_agree()


def test_a_change_that_lies_ahead_of_the_sweep_counts_when_its_time_has_come():
    workspace = machine((9, "AVAILABLE"))
    reach(workspace, at(9.5), "STOPPED")
    metering.meter(now=at(9.4))
    metering.meter(now=at(11))
    records = CostRecord.objects.filter(workspace=workspace).order_by("period_start")
    assert [int(record.running_seconds) for record in records] == [1800, 0]


def test_changes_out_of_order_count_in_the_order_in_which_they_were_written():
    workspace = machine((9, "AVAILABLE"), (12, "STOPPED"))
    write_history(workspace, [(at(11), "STARTING")], source="STOPPED")
    write_history(workspace, [(at(11), "STOPPED")], source="STARTING")
    metering.meter(now=at(20))
    assert sum(record.billed_hours for record in CostRecord.objects.filter(workspace=workspace)) == 3


# -- The end ---------------------------------------------------------------------------------------------------------


def test_ending_a_machine_books_it_to_its_end_in_the_same_transaction():
    workspace = machine((9, "AVAILABLE"))
    with transaction.atomic():
        reach(workspace, at(10.5), "TERMINATED")
        metering.close(workspaces=[workspace], actor=Actor.job("test"), now=at(10.5))
    owed = Decimal("0.6") + pricing.accruals(Decimal("9.75"), at(9), datetime(2026, 4, 1, tzinfo=UTC))
    assert workspace.cost_to_date == total(workspace) == owed
    before = untouched()
    metering.close(workspaces=[workspace], actor=Actor.job("test"), now=at(12))
    metering.meter(now=at(900))
    assert untouched() == before
    assert_sums_agree()


def test_an_end_that_is_rolled_back_leaves_no_charge():
    workspace = machine((9, "AVAILABLE"))
    metering.meter(now=at(9.5))
    before = untouched()
    with transaction.atomic():
        reach(workspace, at(10.5), "TERMINATED")
        metering.close(workspaces=[workspace], actor=Actor.job("test"), now=at(10.5))
        transaction.set_rollback(True)
    assert untouched() == before


def test_a_launch_that_failed_costs_nothing_and_is_never_due():
    workspace = machine((9, "PENDING"), (9.6, "FAILED"))
    metering.close(workspaces=[workspace], actor=Actor.job("test"), now=at(9.6))
    metering.meter(now=at(50))
    assert total(workspace) == 0
    assert MeterMark.objects.get(workspace=workspace).next_due_at is None


# -- Whose, and at what price ----------------------------------------------------------------------------------------


def test_a_record_keeps_whose_it_was_when_its_hour_began():
    workspace = machine((9, "AVAILABLE"), tags={"cost-center": "r-100"})
    metering.meter(now=at(9.5))
    before, workspace.team = workspace.team, TeamFactory(organization=workspace.organization)
    workspace.project = ProjectFactory(organization=workspace.organization, cost_center="p-7")
    workspace.attributed_at = at(9.6)
    workspace.save(update_fields=["team", "project", "attributed_at"])
    metering.meter(now=at(10.5))
    first, second = CostRecord.objects.filter(workspace=workspace).order_by("period_start")
    assert (first.team, first.project, first.cost_center, first.tags) == (before, None, "r-100", workspace.tags)
    assert (second.team, second.project, second.cost_center) == (workspace.team, workspace.project, "p-7")
    assert (first.user, first.blueprint, first.organization) == (
        workspace.owner,
        workspace.blueprint,
        workspace.organization,
    )
    assert {(day.team_id, day.cost_center) for day in DailyCost.objects.all()} == {
        (before.pk, "r-100"),
        (workspace.team_id, "p-7"),
    }


def own_price(workspace, valid_from, valid_to=None, **figures):
    return Price.objects.create(
        organization=workspace.organization,
        region=workspace.region,
        bundle_type=workspace.bundle_type,
        operating_system=workspace.operating_system,
        running_mode=workspace.running_mode,
        currency="USD",
        source="contract",
        as_of=date(2026, 1, 1),
        valid_from=valid_from,
        valid_to=valid_to,
        included_storage_gb=100,
        **{"monthly_amount": Decimal("7.44"), "hourly_amount": Decimal("0.1"), **figures},
    )


def test_each_hour_has_the_price_that_held_when_it_began():
    workspace = machine((9, "AVAILABLE"))
    own = own_price(workspace, at(10), at(11))
    metering.meter(now=at(11.5))
    nine, ten, eleven = CostRecord.objects.filter(workspace=workspace).order_by("period_start")
    assert (nine.price.organization, ten.price, eleven.price) == (None, own, nine.price)
    assert ten.compute_cost == Decimal("0.11")


def test_storage_beyond_what_is_included_accrues_over_the_month():
    workspace = machine((datetime(2026, 3, 1, tzinfo=UTC), "AVAILABLE"), running_mode="ALWAYS_ON")
    own_price(
        workspace,
        datetime(2026, 3, 1, tzinfo=UTC),
        hourly_amount=Decimal(0),
        storage_gb_month_amount=Decimal("0.1"),
    )
    metering.meter(now=datetime(2026, 4, 1, tzinfo=UTC))
    records = CostRecord.objects.filter(workspace=workspace)
    assert sum(record.storage_cost for record in records) == Decimal(3)  # 80 + 50 - 100 GB
    assert sum(record.total_cost for record in records) == Decimal("10.44")
    assert_sums_agree()


def test_hours_without_a_price_wait_for_one_and_show_as_lag():
    workspace, other = machine((9, "AVAILABLE"), region="eu-west-1"), machine((9, "AVAILABLE"))
    figures = metering.meter(now=at(10.5))
    assert (figures["unpriced"], figures["machines"]) == (1, 1)
    assert total(other) > total(workspace) == 0
    assert metering.lag(at(10.5)) == timedelta(hours=1.5)
    own_price(workspace, at(0))
    assert metering.meter(now=at(10.5))["unpriced"] == 0
    assert total(workspace) == Decimal("0.22")
    assert metering.lag(at(10.5)) == timedelta(0)


@pytest.mark.parametrize("is_common", [True, False])
def test_a_price_in_another_currency_is_never_booked(is_common):
    workspace = machine((9, "AVAILABLE"), region="eu-west-1")
    euros = own_price(workspace, at(0))
    Price.objects.filter(pk=euros.pk).update(currency="EUR", organization=None if is_common else workspace.organization)
    assert metering.meter(now=at(10.5))["unpriced"] == 1
    assert not CostRecord.objects.filter(workspace=workspace).exists()


def test_an_always_on_machine_pays_no_hours():
    workspace = machine((9, "AVAILABLE"), running_mode="ALWAYS_ON")
    metering.meter(now=at(20))
    assert total(workspace) == pricing.accruals(Decimal(35), at(9), at(20))
    assert not CostRecord.objects.filter(workspace=workspace, billed_hours__gt=0).exists()


# -- The database ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({}, "duplicate key"),
        ({"period_start": at(11.5), "period_end": at(12.5)}, "is_one_utc_hour"),
        ({"period_start": at(11), "period_end": at(13)}, "is_one_utc_hour"),
        ({"period_start": at(11), "period_end": at(12), "total_cost": Decimal(1)}, "total_is_the_sum"),
        ({"period_start": at(11), "period_end": at(12), "billed_hours": Decimal(-1)}, "figures_not_negative"),
        ({"period_start": at(11), "period_end": at(12), "basis": "GUESSED"}, "basis_known"),
    ],
)
def test_the_database_refuses_a_second_charge_of_an_hour_and_wrong_records(change, constraint):
    workspace = machine((9, "AVAILABLE"))
    metering.meter(now=at(9.5))
    record = CostRecord.objects.get(workspace=workspace)
    record.pk = None
    record._state.adding = True
    for name, value in change.items():
        setattr(record, name, value)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        record.save(force_insert=True)
