"""The proof of the books: silent while they agree, loud about each that does not, and silent again."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from audit.actors import Actor
from audit.models import AuditLog
from budgets import proof
from budgets.models import Budget
from costs import metering
from costs.models import BookFault, CostRecord, DailyCost, DailyTotal, TagCost
from costs.proof import days, faults
from costs.tags import rolling
from costs.tags.services import choose_tag_key
from forge.console.health import check_books
from forge.db import partitions
from forge.db.jobs import JobFault
from tests.budgets.support import MARCH, World
from tests.factories import WorkSpaceFactory
from tests.workspaces.support import client_of

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = MARCH + 10 * DAY
JOB = Actor.job("prove_books")


def running(world, **facts):
    """A machine that runs since the third, with all budgets of its scopes there from before."""
    facts = {"team": world.team, "project": world.project, "blueprint": world.blueprint} | facts
    history = [(MARCH + 2 * DAY, "PENDING"), (MARCH + 2 * DAY + HOUR, "AVAILABLE")]
    return WorkSpaceFactory(organization=world.organization, history=history, **facts)


@pytest.fixture(scope="module")
def month(django_db_setup, django_db_blocker):
    """The partition of March 2026, which goes with the tests."""
    with django_db_blocker.unblock():
        made = partitions.ensure("costs_costrecord", MARCH.date(), MARCH.date())
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def books(month):
    """Two organizations with budgets of each scope and odd hours, a tag, and a machine each, metered for a week."""
    worlds = World(), World()
    for world in worlds:
        person = world.person()
        world.budget("USER", 500, user=person)
        world.budget("TEAM", 500)
        world.budget(
            "ORGANIZATION", 500, period_start=MARCH + 3 * DAY + 7 * HOUR, period_end=MARCH + 5 * DAY + 5 * HOUR
        )
        world.budget("PROJECT", 500, period_start=MARCH + 3 * DAY + 7 * HOUR, period_end=MARCH + 3 * DAY + 9 * HOUR)
        running(world, owner=person, tags={"cost-center": "r-1"})
        choose_tag_key(actor=JOB, organization=world.organization, key="cost-center", now=NOW)
    metering.meter(now=NOW)
    rolling.roll_up()
    return worlds


def found(now=NOW, **options):
    try:
        figures = proof.prove(actor=JOB, now=now, **options)
    except JobFault as fault:
        figures = fault.figures
    return figures["differences"], figures["opened"], figures["resolved"]


def test_books_that_agree_leave_nothing_and_each_that_does_not_is_named_until_it_does(books):
    organization = books[0].organization
    assert Budget.objects.exclude(spent=0).count() == 8
    assert proof.prove(actor=JOB, now=NOW)["differences"] == 0
    assert not BookFault.objects.exists()
    assert check_books().status == "ok"

    own = DailyCost.objects.filter(organization=organization, day=date(2026, 3, 5))
    own.update(compute_cost=F("compute_cost") + 1, total_cost=F("total_cost") + 1)
    TagCost.objects.filter(organization=organization, day=date(2026, 3, 5)).update(records=F("records") + 1)
    budget = Budget.objects.get(organization=organization, scope="USER")
    Budget.objects.filter(pk=budget.pk).update(spent=F("spent") - Decimal("0.000001"))
    # The daily sum is in each budget that holds the whole day, too: three of the four.
    assert found() == (5, 5, 0)
    assert found(NOW + HOUR) == (5, 0, 0)
    there = list(BookFault.objects.order_by("kind", "day", "subject"))
    assert {fault.organization_id for fault in there} == {organization.id}
    assert [fault.kind for fault in there] == ["BUDGET"] * 3 + ["DAILY", "TAG"]
    daily = there[3]
    assert (daily.day, daily.found - daily.expected, daily.groups) == (date(2026, 3, 5), 1, 1)
    assert (daily.seen_at, daily.last_seen_at) == (NOW, NOW + HOUR)
    assert (there[4].day, there[4].subject) == (date(2026, 3, 5), "cost-center")
    assert {fault.subject for fault in there[:3]} == {
        str(one.pk) for one in Budget.objects.filter(organization=organization).exclude(scope="PROJECT")
    }
    told = AuditLog.objects.filter(action_type="BOOKS_DIFFER", result="SUCCESS")
    assert {(entry.organization_id, entry.resource_id) for entry in told} == {
        (organization.id, str(fault.pk)) for fault in there
    }
    assert check_books().status == "degraded"
    assert "daily sums and records differ: 1" in check_books().detail
    assert str(daily.found) not in check_books().detail

    DailyTotal.objects.filter(organization=organization, day=date(2026, 3, 6)).update(rows=F("rows") + 1)
    assert found() == (6, 1, 0)
    assert BookFault.objects.get(kind="TOTAL").day == date(2026, 3, 6)
    DailyTotal.objects.filter(organization=organization, day=date(2026, 3, 6)).update(rows=F("rows") - 1)
    own.update(compute_cost=F("compute_cost") - 1, total_cost=F("total_cost") - 1)
    TagCost.objects.filter(organization=organization, day=date(2026, 3, 5)).update(records=F("records") - 1)
    assert found() == (1, 0, 5)
    Budget.objects.filter(pk=budget.pk).update(spent=F("spent") + Decimal("0.000001"))
    assert found() == (0, 0, 1)
    assert AuditLog.objects.filter(action_type="BOOKS_AGREE", result="SUCCESS").count() == 6
    assert check_books().status == "ok"


def test_a_sum_in_the_wrong_group_is_found_though_the_day_comes_to_the_same(books):
    row = DailyCost.objects.filter(organization=books[0].organization, day=date(2026, 3, 4)).get()
    DailyCost.objects.filter(pk=row.pk).update(team_id=books[1].team.id)
    assert days.daily(row.day) == [(books[0].organization.id, "", 2, row.total_cost, row.total_cost)]


def test_a_dry_run_says_what_it_finds_and_the_command_ends_with_a_fault(books):
    CostRecord.objects.filter(organization=books[1].organization, period_start=MARCH + 4 * DAY).update(
        basis="ESTIMATED"
    )
    out = StringIO()
    with pytest.raises(CommandError, match="do not agree"):
        call_command("prove_books", "--dry-run", "--json", "--all", stdout=out)
    assert '"differences": 1' in out.getvalue()
    assert '"opened": 0' in out.getvalue()
    assert not BookFault.objects.exists()


def test_only_days_that_may_have_changed_are_due_and_every_other_one_in_turn(books):
    DailyCost.objects.update(updated_at=MARCH)
    long_ago = datetime(2026, 12, 1, 3, tzinfo=UTC)
    turns = [set(days.due(since=long_ago - 2 * DAY, now=long_ago + n * DAY)) for n in range(days.ROTATION_DAYS)]
    assert all({(long_ago + n * DAY).date() - k * DAY for k in range(3)} <= turn for n, turn in enumerate(turns))
    assert max(len(turn) for turn in turns) <= 3 + 300 // days.ROTATION_DAYS
    first = date(2026, 3, 3)
    assert set().union(*turns) >= {first + n * DAY for n in range(200)}
    late = DailyCost.objects.filter(day=date(2026, 3, 6)).first()
    DailyCost.objects.filter(pk=late.pk).update(updated_at=long_ago)
    assert all(late.day in days.due(since=long_ago - DAY, now=long_ago + n * DAY) for n in range(3))


def test_what_is_due_is_asked_day_by_day_and_no_statement_reads_all_daily_sums(books):
    with CaptureQueriesContext(connection) as queries:
        days.due(since=NOW - 2 * DAY, now=NOW)
    asked = [query["sql"] for query in queries if "costs_dailycost" in query["sql"]]
    assert len(asked) > 3
    for sql in asked:
        assert "day = '2026-03-" in sql or "ORDER BY organization_id, day LIMIT 1" in sql, sql


def test_faults_are_shown_to_those_who_see_all_costs_of_the_organization(books):
    world, other = books
    DailyCost.objects.filter(organization=world.organization, day=date(2026, 3, 4)).update(billed_hours=99)
    faults.keep(kind="DAILY", day=date(2026, 3, 4), found=days.daily(date(2026, 3, 4)), actor=JOB, now=NOW)
    client = client_of(world.person("auditor"))
    path = "/api/v1/costs/book-faults/"
    (fault,) = client.get(path).json()["results"]
    assert (fault["kind"], fault["day"], fault["resolved_at"]) == ("DAILY", "2026-03-04", None)
    assert client.get(f"{path}?resolved_at__isnull=false").json()["results"] == []
    for person in (world.person("engineer"), world.person("team_lead"), other.person("admin")):
        assert client_of(person).get(path).json()["results"] == []
