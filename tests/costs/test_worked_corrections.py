"""Corrected prices against the worked examples: corrected after they were booked, and known from the start."""

from collections import defaultdict
from decimal import Decimal

import pytest

from costs import metering
from costs.models import CostRecord
from tests.costs import worked
from tests.costs.books import own_price, rerated
from tests.costs.meters import assert_sums_agree
from tests.factories import WorkSpaceFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]


def prices(row, machine):
    """Set the prices of the line, in its order."""
    for part in row["prices"].split("|"):
        since, _, figures = part.partition("=")
        monthly, hourly = (Decimal(figure) for figure in figures.split("/"))
        own_price(
            machine.organization,
            worked.instant(since),
            now=worked.instant(row["now"]),
            running_mode=row["running_mode"],
            monthly_amount=monthly,
            hourly_amount=hourly,
        )


def assert_as_worked(row, machine):
    by_month = defaultdict(Decimal)
    records = CostRecord.objects.filter(workspace=machine)
    for record in records:
        by_month[f"{record.period_start:%Y-%m}"] += record.total_cost
    assert sum(by_month.values()) == Decimal(row["total_cost"])
    assert by_month == worked.months(row["months"])
    assert sum(record.billed_hours for record in records) == int(row["billed_hours"])
    assert_sums_agree()


@pytest.mark.parametrize(**worked.each("corrections"))
def test_a_correction_after_the_booking_costs_what_was_worked_out(row):
    machine = WorkSpaceFactory(running_mode=row["running_mode"], history=worked.history(row["history"]))
    metering.meter(now=worked.instant(row["now"]))
    prices(row, machine)
    rerated(now=worked.instant(row["now"]))
    assert_as_worked(row, machine)


@pytest.mark.parametrize(**worked.each("corrections"))
def test_the_same_prices_before_the_booking_cost_the_same(row):
    machine = WorkSpaceFactory(running_mode=row["running_mode"], history=worked.history(row["history"]))
    prices(row, machine)
    metering.meter(now=worked.instant(row["now"]))
    assert_as_worked(row, machine)
