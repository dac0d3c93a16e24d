"""What costs will come to, held against figures that were worked out by hand."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from django.utils import timezone

from costs import forecasts, reports
from costs.models import DailyCost
from costs.outlooks import TooManyGroups, TooManyParts, outlook
from tests import world as worlds
from tests.costs.test_api import COSTS, get, spend
from tests.factories import (
    OrganizationFactory,
    ProjectFactory,
    ProviderAccountFactory,
    TeamFactory,
    WorkSpaceFactory,
)
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


@pytest.fixture
def two_teams(machine):
    """The machine's team, in whose project it is, and another, with a machine that always runs; both have costs."""
    project = ProjectFactory(organization=machine.organization, cost_center="r-100")
    WorkSpace.objects.filter(pk=machine.pk).update(project=project)
    other = WorkSpaceFactory(
        organization=machine.organization,
        team=TeamFactory(organization=machine.organization),
        running_mode="ALWAYS_ON",
        history=[(NOW - 10 * DAY, "PENDING"), (NOW - 9 * DAY, "AVAILABLE")],
    )
    WorkSpace.objects.filter(pk=other.pk).update(created_at=NOW - 10 * DAY, max_lifetime_days=25)
    for day, hours in ((date(2026, 2, 25), 10), (date(2026, 3, 4), 20), (date(2026, 3, 5), 7), (NOW.date(), 7)):
        ran(machine, day, hours)
    for day, hours in ((date(2026, 3, 5), 11), (date(2026, 3, 9), 1)):
        ran(other, day, hours)
    return machine, other


def parts(machine, *, by=(), interval=None, start=date(2026, 3, 1), until=date(2026, 4, 8), **most):
    return outlook(
        costs=DailyCost.objects.filter(organization=machine.organization),
        machines=WorkSpace.objects.filter(organization=machine.organization),
        organization=machine.organization,
        start=start,
        since=NOW,
        until=until,
        now=NOW,
        by=by,
        interval=interval,
        **{"most_groups": 1000, "most_parts": 10_000} | most,
    )


def test_parts_come_to_the_whole(two_teams):
    machine, _ = two_teams
    whole = ahead(machine, date(2026, 4, 8))
    spent = reports.total(DailyCost.objects.filter(organization=machine.organization, day__gte=date(2026, 3, 1)))
    groupings = [(), *((name,) for name in reports.DIMENSIONS), ("team", "project"), ("cost_center", "bundle_type")]
    for by, interval in [*product(groupings, ["day", "week", "month"]), *((by, None) for by in groupings[1:])]:
        rows = parts(machine, by=by, interval=interval)
        assert sum(row["fees_to_come"] for row in rows) == whole.fees > 0
        assert sum(row["running_to_come"] for row in rows) == whole.running > 0
        assert sum(row["spent"] for row in rows) == spent["total_cost"] > 0
        assert len({tuple(row[name] for name in (*by, "period_start")) for row in rows}) == len(rows)
        for row in rows:
            assert row["total_cost"] == row["spent"] + row["fees_to_come"] + row["running_to_come"] != 0


def test_teams_by_month_as_worked_out_by_hand(two_teams):
    """Days count from 25 February, the first with costs of any team: two Wednesdays and two Thursdays."""
    machine, other = two_teams
    rows = {(row["period_start"], row["team"]): row for row in parts(machine, by=["team"], interval="month")}
    march, april = date(2026, 3, 1), date(2026, 4, 1)
    mine, theirs = machine.team.slug, other.team.slug
    # 34 hours of 0.30 in March. Wednesdays 4.50: half of the 11th, the 18th, the 25th; Thursdays 1.05: the 12th, 19th
    # and 26th. In April the 1st is a Wednesday, the 2nd a Thursday.
    assert rows[march, mine]["spent"] == Decimal("10.20")
    assert rows[march, mine]["running_to_come"] == Decimal("2.25") + 2 * Decimal("4.5") + 3 * Decimal("1.05")
    assert rows[april, mine]["running_to_come"] == Decimal("4.5") + Decimal("1.05")
    # 9.75 a month: from noon of the 11th (252 of 744 hours, 3.302419), and 168 of April's 720 (2.275).
    assert rows[march, mine]["fees_to_come"] == Decimal("9.75") - Decimal("3.302419")
    assert rows[april, mine]["fees_to_come"] == Decimal("2.275")
    # Thursdays 3.30 / 2 = 1.65 (12th, 19th, 26th), Mondays 0.30 / 2 = 0.15 (16th, 23rd, 30th).
    assert rows[march, theirs]["spent"] == Decimal("3.60")
    assert rows[march, theirs]["running_to_come"] == 3 * Decimal("1.65") + 3 * Decimal("0.15")
    # It ends on 26 March at noon, so April has what its former Thursdays and Mondays make alone.
    assert rows[april, theirs]["fees_to_come"] == 0
    assert rows[april, theirs]["running_to_come"] == Decimal("1.65") + Decimal("0.15")
    by_cost_center = {row["cost_center"]: row["fees_to_come"] for row in parts(machine, by=["cost_center"])}
    assert by_cost_center["r-100"] == Decimal("9.75") - Decimal("3.302419") + Decimal("2.275")
    assert list(by_cost_center) == ["", "r-100"]


def test_what_a_machine_that_is_ending_owes_stands_in_the_first_interval(two_teams):
    """The rest of March at once, though the period ends before: 9.75 less what was accrued by noon of the 11th."""
    machine, other = two_teams
    WorkSpace.objects.filter(pk=other.pk).update(state="TERMINATED", terminated_at=NOW)
    WorkSpace.objects.filter(pk=machine.pk).update(state="TERMINATING")
    rows = {row["period_start"]: row for row in parts(machine, interval="day", until=date(2026, 3, 20))}
    owed = Decimal("9.75") - Decimal("3.302419")
    assert {day: row["fees_to_come"] for day, row in rows.items() if row["fees_to_come"]} == {NOW.date(): owed}
    assert ahead(machine, date(2026, 3, 20)).fees == owed


def test_weeks_begin_on_monday_also_where_the_period_does_not(two_teams):
    machine, _ = two_teams
    weeks = [row["period_start"] for row in parts(machine, interval="week", until=date(2026, 3, 24))]
    assert weeks == [date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 16), date(2026, 3, 23)]


def test_more_groups_than_are_kept_in_memory_are_refused(two_teams):
    machine, other = two_teams
    assert len(parts(machine, by=["team"], most_groups=2)) == 2
    with pytest.raises(TooManyGroups):
        parts(machine, by=["team"], most_groups=1)
    DailyCost.objects.filter(team=other.team).delete()  # a machine of theirs is there
    with pytest.raises(TooManyGroups):
        parts(machine, by=["team"], most_groups=1)


def test_more_parts_than_an_answer_has_are_refused_before_they_are_reckoned(two_teams, monkeypatch):
    """From the 11th of March to the 7th of April are 28 days, of two teams; the months past have parts too."""
    machine, _ = two_teams
    days, months = {"by": ["team"], "interval": "day"}, {"by": ["team"], "interval": "month", "start": date(2026, 2, 1)}
    assert 28 < len(parts(machine, **days, most_parts=2 * 28)) <= 2 * 28
    assert len(parts(machine, **months, most_parts=5)) == 5
    with pytest.raises(TooManyParts):
        parts(machine, **months, most_parts=4)
    monkeypatch.setattr("costs.outlooks.fees_by", pytest.fail)
    with pytest.raises(TooManyParts):
        parts(machine, **days, most_parts=2 * 28 - 1)
    with pytest.raises(TooManyParts):
        parts(machine, interval="day", most_parts=27)


def test_the_api_takes_it_apart_too(months):
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    spend(world, world.engineer, project=world.project)
    start = (timezone.now() - timedelta(days=5)).date()
    path = f"{COSTS}/forecast/?start={start}&group_by=user,project&interval=day"
    client = client_of(world.finance)
    found = hold(f"GET {COSTS}/forecast/?group_by=user,project&interval=day", lambda: client.get(path)).json()
    assert (found["interval"], found["group_by"]) == ("day", ["user", "project"])
    whole = sum(Decimal(row["total_cost"]) for row in found["results"])
    assert whole == Decimal(found["total_cost"]) > 0
    first = found["results"][0]
    assert (first["user"], first["project"]) == (world.engineer.email, world.project.slug)
    assert (first["currency"], first["basis"]) == ("USD", "ESTIMATED")
    assert get(world.contractor, path)["results"] == []
    whole = get(world.finance, f"{COSTS}/forecast/?start={start}")
    assert (whole["results"], whole["group_by"], "interval" in whole) == ([], [], False)
    for wrong, said in (("group_by=tag:a", "tag:a"), ("interval=hour", "hour"), ("group_by=team,team", "each once")):
        refused = client.get(f"{COSTS}/forecast/?{wrong}")
        assert refused.status_code == 400
        assert said in refused.json()["detail"]
