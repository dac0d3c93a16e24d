"""Sums by hour, day, week and month, by none, one or two dimensions: they are all the same money."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.serializers import Serializer

from costs import reports
from costs.api.sum_serializers import GroupSumSerializer, PointSerializer
from costs.models import CostRecord, DailyCost, DailyTotal, MeterMark
from forge.db.ids import uuid7
from tests import world as worlds
from tests.costs.books_of_days import book, record
from tests.costs.test_api import COSTS, get, range_of_days, spend
from tests.factories import MembershipFactory, OrganizationFactory, ProjectFactory, TeamFactory, UserFactory
from tests.query_counts import hold
from tests.workspaces.support import client_of

pytestmark = pytest.mark.django_db

FIRST = datetime(2026, 2, 20, tzinfo=UTC)
"""A Friday; the weeks and the month that follow hold the change to summer time of most of the world."""
HOURS = 60 * 24
TEN = Decimal(10)
facts = st.fixed_dictionaries(
    {
        "hour": st.integers(0, HOURS - 1),
        "cost": st.integers(0, 10**9).map(lambda n: Decimal(n).scaleb(-6)),
        "team": st.integers(0, 1),
        "project": st.integers(0, 2),
        "bundle_type": st.sampled_from(["STANDARD", "POWER"]),
        "cost_center": st.sampled_from(["", "r-100"]),
        "basis": st.sampled_from(["METERED", "METERED", "BILLED"]),
    }
)
words = st.lists(st.sampled_from(["team", "project", "bundle_type", "cost_center"]), unique=True, max_size=2)


@pytest.fixture
def whose():
    organization = OrganizationFactory()
    teams = [TeamFactory(organization=organization) for _ in range(2)]
    projects = [None, *(ProjectFactory(organization=organization) for _ in range(2))]
    return organization, teams, projects


def folded(rows, *names):
    sums = defaultdict(Decimal)
    for row in rows:
        sums[tuple(row[name] for name in names)] += row["total_cost"]
    return dict(sums)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(facts, max_size=30),
    by=words,
    zone=st.sampled_from(["UTC", "America/St_Johns", "Pacific/Apia"]),
    first=st.integers(0, 40),
    length=st.integers(1, 31),
)
def test_weeks_months_and_hours_come_to_the_days_and_two_dimensions_to_one(
    months, whose, rows, by, zone, first, length
):
    organization, teams, projects = whose
    start = (FIRST + timedelta(days=first)).date()
    end = start + timedelta(days=length)
    with transaction.atomic(), connection.cursor() as cursor:
        book(
            record(
                organization, FIRST + timedelta(hours=row["hour"]), row["cost"], team=teams[row["team"]],
                project=projects[row["project"]], bundle_type=row["bundle_type"], cost_center=row["cost_center"],
                basis=row["basis"],
            )
            for row in rows
        )  # fmt: skip
        daily = reports.between(DailyCost.objects.filter(organization=organization), start, end)
        hourly = reports.hours_between(CostRecord.objects.filter(organization=organization), start, end)
        series = {"hour": reports.series(hourly, interval="hour", by=by, most=10_000)}
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        for interval in ("day", "week", "month"):
            series[interval] = reports.series(daily, interval=interval, by=by, most=10_000)
        summary = reports.groups(daily, by=by, most=1000) if by else []
        one = reports.groups(daily, by=by[:1], most=1000) if by else []
        total = reports.total(daily)
        totals = reports.between(DailyTotal.objects.filter(organization=organization), start, end)
        whole = reports.total(totals), reports.groups(totals, by=by, most=1000) if by else []
        transaction.set_rollback(True)
    expected = sum(
        (row["cost"] for row in rows if start <= (FIRST + timedelta(hours=row["hour"])).date() < end), Decimal(0)
    )
    assert total["total_cost"] == expected
    days = folded(series["day"], "period_start", *by)
    monday, month = (lambda day: day - timedelta(days=day.weekday())), (lambda day: day.replace(day=1))
    for interval, period_of in (("week", monday), ("month", month)):
        summed = defaultdict(Decimal)
        for (day, *group), amount in days.items():
            summed[(period_of(day), *group)] += amount
        assert folded(series[interval], "period_start", *by) == summed
    hours = [{**row, "period_start": row["period_start"].date()} for row in series["hour"]]
    assert folded(hours, "period_start", *by) == days
    if by:
        assert folded(series["day"], *by) == folded(summary, *by)
        assert folded(summary, *by[:1]) == folded(one, *by[:1])
        assert reports.total_of(summary) == total
    assert whole == (total, summary)


def test_a_week_that_the_range_cuts_says_so_and_begins_on_its_monday(months):
    assert date(2026, 3, 2).weekday() == 0
    organization = OrganizationFactory()
    book(record(organization, datetime(2026, 3, day, 23, tzinfo=UTC), TEN) for day in (1, 2, 8, 9))
    rows = DailyCost.objects.filter(organization=organization)
    points = reports.series(rows, interval="week", by=[], most=9)
    assert [(row["period_start"], row["total_cost"]) for row in points] == [
        (date(2026, 2, 23), TEN), (date(2026, 3, 2), 2 * TEN), (date(2026, 3, 9), TEN),
    ]  # fmt: skip
    cut = [reports.is_cut("week", date(2026, 3, 2), date(2026, 3, first), date(2026, 3, end)) for first, end in
           ((2, 9), (3, 9), (2, 8))]  # fmt: skip
    assert cut == [False, True, True]
    assert reports.is_cut("month", date(2026, 3, 1), date(2026, 3, 1), date(2026, 3, 31))
    assert not reports.is_cut("month", date(2026, 3, 1), date(2026, 3, 1), date(2026, 4, 1))


def test_every_interval_and_pair_of_dimensions_tells_of_the_same_money(months):
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    spent = spend(world, world.engineer, project=world.project).cost_to_date
    spend(worlds.build(expire_at=timezone.now() + timedelta(days=30)), world.engineer)
    other_team = TeamFactory(organization=world.organization)
    stranger = UserFactory(organization=world.organization)
    MembershipFactory(user=stranger, organization=world.organization, team=other_team)
    client = client_of(world.finance)
    for interval in reports.INTERVALS:
        path = f"{COSTS}/timeseries/?interval={interval}&group_by=user,region&{range_of_days()}"
        answer = hold(f"GET {COSTS}/timeseries/ by {interval}", lambda path=path: client.get(path)).json()
        assert answer["interval"] == interval
        assert 0 <= answer["lag_seconds"] < 3600
        assert sum(Decimal(row["total_cost"]) for row in answer["results"]) == spent
        assert {(row["user"], row["region"], row["currency"], row["basis"]) for row in answer["results"]} == {
            (world.engineer.email, "us-east-1", "USD", "METERED")
        }
        assert get(stranger, path)["results"] == []
        narrowed = get(world.finance, f"{path}&running_mode=ALWAYS_ON")["results"]
        assert narrowed == []
    hours = get(world.engineer, f"{COSTS}/timeseries/?interval=hour&{range_of_days()}")["results"]
    assert len(hours) == CostRecord.objects.filter(organization=world.organization).count() >= 48
    summary = get(world.finance, f"{COSTS}/summary/?group_by=user,project&{range_of_days()}")
    assert [(row["user"], row["project"]) for row in summary["groups"]] == [(world.engineer.email, world.project.slug)]
    assert (summary["group_by"], summary["total"]["total_cost"]) == ("user,project", str(spent))
    # Metering that waits shows.
    MeterMark.objects.update(next_due_at=timezone.now() - timedelta(hours=2))
    assert 7200 <= get(world.finance, f"{COSTS}/summary/")["lag_seconds"] < 10_800


def test_a_sum_says_only_what_it_is_grouped_by(months):
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    spend(world, world.engineer)
    for by in ("team", "region", "project", "blueprint"):
        (group,) = get(world.finance, f"{COSTS}/summary/?group_by={by}&{range_of_days()}")["groups"]
        assert {"team", "region", "project", "blueprint"} & group.keys() == {by}
    point = get(world.finance, f"{COSTS}/timeseries/?{range_of_days()}")["results"][0]
    assert not {"project", "blueprint"} & point.keys()


@pytest.mark.parametrize(
    ("serializer", "asked"), [(GroupSumSerializer, ["team", "project"]), (PointSerializer, ["blueprint"])]
)
def test_a_sum_is_shown_as_its_fields_show_it(serializer, asked):
    zero = Decimal(0)
    rows = [
        {
            "total_cost": Decimal("12.500000"), "compute_cost": Decimal("12.5"), "storage_cost": zero,
            "data_transfer_cost": Decimal("1E+3"), "billed_hours": Decimal("999999999999.999999"), "basis": "MIXED",
            "team": "core", "project": None, "blueprint": uuid7(), "period_start": date(2026, 2, 20), "is_cut": False,
        },
        {
            **dict.fromkeys(reports.SUMS, zero), "basis": None, "team": "core", "project": "apollo", "blueprint": None,
            "period_start": FIRST, "day": date(2026, 2, 20), "is_cut": True,
        },
    ]  # fmt: skip
    shown = serializer(rows, many=True, context={"currency": "USD", "group_by": asked})
    assert shown.data == [Serializer.to_representation(shown.child, row) for row in rows]
    with pytest.raises(KeyError):
        serializer(context={"currency": "USD", "group_by": asked}).to_representation({"total_cost": zero})
