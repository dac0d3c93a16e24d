"""What costs will come to, held against figures that were worked out by hand."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from costs import forecasts, reports
from costs.models import DailyCost
from tests import world as worlds
from tests.costs.test_api import COSTS, get, spend
from tests.factories import OrganizationFactory, ProviderAccountFactory, TeamFactory, WorkSpaceFactory
from tests.query_counts import hold
from tests.workspaces.support import client_of
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
"""A Wednesday at noon."""


def ran(machine, day, hours):
    """Started hours of a STANDARD AutoStop machine, 0.30 each in the price book."""
    cost = Decimal(hours) * Decimal("0.30")
    DailyCost.objects.create(
        day=day, organization=machine.organization, user_id=uuid.UUID(int=1), team=machine.team,
        blueprint=machine.blueprint, bundle_type="STANDARD", region="us-east-1", running_mode="AUTO_STOP",
        billed_hours=hours, compute_cost=cost, total_cost=cost,
    )  # fmt: skip


def ahead(machine, until, since=NOW):
    return forecasts.forecast(
        costs=DailyCost.objects.filter(organization=machine.organization),
        machines=WorkSpace.objects.filter(organization=machine.organization),
        organization=machine.organization,
        since=since,
        until=until,
        now=NOW,
    )


@pytest.fixture
def machine():
    team = TeamFactory(organization=OrganizationFactory())
    ProviderAccountFactory(organization=team.organization)
    there = WorkSpaceFactory(
        organization=team.organization, team=team, history=[(NOW - 10 * DAY, "PENDING"), (NOW - 9 * DAY, "AVAILABLE")]
    )
    WorkSpace.objects.filter(pk=there.pk).update(created_at=NOW - 10 * DAY)
    return there


def test_running_follows_the_weekday_and_fees_the_machines(machine):
    """Two Wednesdays with 10 and 20 hours, a Thursday with 40, nothing else: 4.50 a Wednesday, 6.00 a Thursday."""
    for day, hours in ((date(2026, 2, 25), 10), (date(2026, 3, 4), 20), (date(2026, 3, 5), 40), (NOW.date(), 7)):
        ran(machine, day, hours)
    ran(machine, date(2026, 2, 10), 9999)  # 29 days back
    found = ahead(machine, date(2026, 3, 13))
    # Thursdays since 25 February are 26 February (nothing) and 5 March (12.00).
    assert found.pace == {1: 0, 2: 0, 3: Decimal("4.5"), 4: Decimal(6), 5: 0, 6: 0, 7: 0}
    assert found.running == Decimal("2.25") + Decimal(6)
    # From noon of the 11th (252 of 744 hours) to the 13th (288): round(9.75 n / 744, 6) is 3.302419 and 3.774194.
    assert found.fees == Decimal("3.774194") - Decimal("3.302419")
    assert found.machines == 1
    # Metering that is a day behind: what it has not booked is still to come.
    late = ahead(machine, date(2026, 3, 13), since=NOW - DAY)
    assert late.running == found.running + Decimal("2.25")
    assert late.fees == Decimal("3.774194") - Decimal("2.987903")
    # A machine that ends before the period costs no more than to there: noon of the 12th is 276 hours.
    WorkSpace.objects.filter(pk=machine.pk).update(max_lifetime_days=11)
    assert ahead(machine, date(2026, 4, 1)).fees == Decimal("3.616935") - Decimal("3.302419")


def test_days_of_no_known_weekday_take_the_mean_and_a_first_day_its_hours(machine):
    ran(machine, date(2026, 3, 9), 10)
    ran(machine, date(2026, 3, 10), 30)
    assert ahead(machine, date(2026, 3, 12)).pace[5] == Decimal(6)
    DailyCost.objects.all().delete()
    assert ahead(machine, date(2026, 3, 12)).running == 0
    ran(machine, NOW.date(), 20)  # 6.00 in half a day
    assert ahead(machine, date(2026, 3, 12)).running == Decimal(6)


def test_the_forecast_is_of_what_the_caller_sees(months):
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    spend(world, world.engineer, project=world.project)
    spend(worlds.build(expire_at=timezone.now() + timedelta(days=30)), world.engineer)
    start = (timezone.now() - timedelta(days=5)).date()
    path = f"{COSTS}/forecast/?start={start}"
    client = client_of(world.finance)
    found = hold(f"GET {COSTS}/forecast/", lambda: client.get(path)).json()
    spent = reports.total(DailyCost.objects.filter(organization=world.organization))["total_cost"]
    assert (Decimal(found["spent"]["total_cost"]), found["spent"]["basis"]) == (spent, "METERED")
    assert Decimal(found["total_cost"]) == spent + Decimal(found["fees_to_come"]) + Decimal(found["running_to_come"])
    assert (found["basis"], found["currency"], found["machines"]) == ("ESTIMATED", "USD", 1)
    assert Decimal(found["running_to_come"]) > 0
    assert found["method"] == forecasts.METHOD
    assert [row["weekday"] for row in found["pace"]] == [1, 2, 3, 4, 5, 6, 7]
    assert get(world.contractor, path)["machines"] == 0
    assert get(world.contractor, f"{path}")["total_cost"] == "0.000000"
    assert get(world.engineer, path)["spent"] == found["spent"]
    assert get(world.finance, f"{path}&project={world.project.slug}")["machines"] == 1
    assert get(world.finance, f"{path}&project=another")["total_cost"] == "0.000000"
