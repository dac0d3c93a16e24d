"""What lies ahead of a budget, held against figures that were worked out by hand."""

from datetime import timedelta
from decimal import Decimal

import pytest

from budgets import foresight
from budgets.models import Budget
from costs import metering
from costs.models import DailyCost
from costs.pricing import HOUR
from tests.budgets.support import APRIL, MARCH, MAY, World
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

DAY = timedelta(days=1)
NOW = MARCH + 10 * DAY
"""The eleventh of March, 00:00: 21 of the month's 31 days are to come."""


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def ran(world, day, hours, **fields):
    """Started hours of STANDARD AutoStop machines, 0.30 each in the price book."""
    cost = Decimal(hours) * Decimal("0.30")
    DailyCost.objects.create(
        day=day.date(), organization=world.organization, user_id=fields.pop("user_id", world.team.id), team=world.team,
        blueprint=world.blueprint, bundle_type="STANDARD", region="us-east-1", running_mode="AUTO_STOP",
        billed_hours=hours, compute_cost=cost, total_cost=cost, **fields,
    )  # fmt: skip


def ahead(budget, now=NOW):
    return foresight.outlook(Budget.objects.select_related("organization").get(pk=budget.pk), now=now)


def test_the_forecast_is_spent_and_fees_and_running_at_the_pace_of_the_last_days(world):
    """6 full days of 7 and none of today: 480 hours at 0.30 in 144 hours are 1.00 an hour, 504 hours are left."""
    world.budget(amount=0, is_active=False)
    machine = world.running(now=NOW)
    budget = world.budget(amount=2000, spent=Decimal(100), reserved=Decimal(50))
    ran(world, NOW - 6 * DAY, 240)
    ran(world, NOW - 1 * DAY, 240)
    ran(world, NOW - 7 * DAY, 9999)  # the eighth day back does not count
    found = ahead(budget)
    assert found.pace == Decimal("1.00")
    assert found.running == 504
    # 9.75 accrues over 744 hours; after 240 of them round(9.75 * 240 / 744, 6) = 3.145161 has.
    assert found.fees == Decimal("9.75") - Decimal("3.145161")
    assert found.total == 100 + 504 + Decimal("6.604839")
    assert found.full_at is None
    Budget.objects.filter(pk=budget.pk).update(amount=450)
    # 450 - 100 - 50 = 300 hours: noon of the 23rd.
    assert ahead(budget).full_at == NOW + 300 * HOUR
    assert foresight.says(ahead(budget).full_at, NOW) == "Launches are refused from 23 March 12:00 UTC on at this pace."
    WorkSpace.objects.filter(pk=machine.pk).update(max_lifetime_days=1)
    # After 264 hours round(9.75 * 264 / 744, 6) = 3.459677.
    assert ahead(budget).fees == Decimal("3.459677") - Decimal("3.145161")


def test_a_scope_that_began_today_is_paced_by_the_hours_of_today(world):
    budget = world.budget(amount=2000)
    ran(world, NOW, 40)
    assert ahead(budget, NOW + 6 * HOUR).pace == Decimal(2)


def test_what_never_fills_has_no_runway_and_what_is_full_is_blocked_now(world):
    assert ahead(world.budget("PROJECT")).full_at is None
    assert ahead(world.budget("TEAM", 0)).full_at == NOW
    assert ahead(world.budget("ORGANIZATION", 100, spent=Decimal(60), reserved=Decimal(40))).full_at == NOW


@pytest.mark.parametrize(
    "fields",
    [{"is_active": False}, {"adopted_at": None}, {"period_start": APRIL, "period_end": MAY}, {"period_end": NOW}],
)
def test_what_is_not_in_force_has_no_outlook(world, fields):
    assert ahead(world.budget(**fields)) is None
