"""Sums by tag: what books costs keeps them, the past is summed up later, and they always come to the records."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from audit.actors import Actor
from costs import metering
from costs.models import CostRecord, TagCost, TagKey
from costs.tags import rolling
from costs.tags.services import MOST_KEYS, TagKeyChosen, TagKeyGoing, TooManyTagKeys, choose_tag_key, drop_tag_key
from tests import world as worlds
from tests.costs.meters import DAY, at, machine, reach
from tests.costs.test_api import COSTS, get, range_of_days, spend
from tests.factories import OrganizationFactory
from tests.query_counts import hold
from tests.workspaces.support import client_of, problem
from workspaces.models import WorkSpace
from workspaces.tagging.wanted import TagKeyReserved

pytestmark = pytest.mark.django_db
NOW = DAY + timedelta(days=3)
SUMS = ("billed_hours", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost")
COMMAND = Actor.command("tests")


def choose(organization, key="cost-center"):
    return choose_tag_key(actor=COMMAND, organization=organization, key=key, now=NOW)


def by_records(key, organization):
    """What the sums must be: the records themselves, grouped."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (period_start AT TIME ZONE 'UTC')::date, coalesce(tags ->> %s, ''), basis, count(*),
                   sum(billed_hours), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost), sum(total_cost)
              FROM costs_costrecord WHERE organization_id = %s GROUP BY 1, 2, 3
            """,
            [key, organization.pk],
        )
        return sorted(cursor.fetchall())


def by_tag(key, organization):
    rows = TagCost.objects.filter(key=key, organization=organization).values_list("day", "value", "basis")
    sums = rows.annotate(count=Sum("records"), **{f"of_{name}": Sum(name) for name in SUMS})
    return sorted(row for row in sums if row[3])


def assert_agree(organization, *keys):
    for key in keys:
        assert by_tag(key, organization) == by_records(key, organization)


def roll(**options):
    while rolling.roll_up(**options)["waiting"]:
        pass


@pytest.fixture
def fleet(months):
    """Two machines of one organization, with and without the tag, and one of another; metered to noon."""
    one = machine((0, "PENDING"), (1, "AVAILABLE"), tags={"cost-center": "r-1", "ticket": "7"})
    facts = {"organization": one.organization, "owner": one.owner, "team": one.team, "blueprint": one.blueprint}
    two = machine((2, "PENDING"), (3, "AVAILABLE"), (20, "STOPPING"), **facts)
    other = machine((0, "PENDING"), (1, "AVAILABLE"), tags={"cost-center": "theirs"})
    metering.meter(now=at(12))
    return one, two, other


def test_what_books_keeps_the_sums_and_the_past_comes_day_by_day(fleet):
    one, two, other = fleet
    organization = one.organization
    key = choose(organization)
    assert (key.state, key.since) == ("FILLING", NOW.date() + timedelta(days=1))
    metering.meter(now=at(80))
    assert not TagCost.objects.exists()
    # Halfway: from the third day on they stand, and what is booked there and before keeps them right.
    rolling.roll_up(steps=3)  # one of which folds
    key.refresh_from_db()
    assert (key.state, key.since) == ("FILLING", DAY.date() + timedelta(days=2))
    reach(one, at(70), "STOPPING")  # known late: hours of the days that stand are taken back
    WorkSpace.objects.filter(pk=two.pk).update(tags={"cost-center": "r-1"}, attributed_at=at(80))
    reach(two, at(81), "STARTING")
    metering.meter(now=at(90))
    stands = [row for row in by_records("cost-center", organization) if row[0] >= key.since]
    assert by_tag("cost-center", organization) == stands
    assert {row[1] for row in stands} == {"", "r-1"}
    roll()
    key.refresh_from_db()
    assert (key.state, key.fill_before, key.since) == ("KEPT", None, DAY.date())
    assert_agree(organization, "cost-center")
    assert not TagCost.objects.filter(is_folded=False).exists()
    assert not TagCost.objects.filter(organization=other.organization).exists()
    # A record older than all that was summed up, and a state that takes back a whole machine.
    late = machine((-30, "PENDING"), (-29, "AVAILABLE"), tags={}, organization=organization, owner=one.owner,
                   team=one.team, blueprint=one.blueprint)  # fmt: skip
    metering.meter(now=at(91))
    assert_agree(organization, "cost-center")
    reach(late, at(-29), "TERMINATED")
    metering.meter(now=at(92))
    roll()
    assert_agree(organization, "cost-center")
    assert TagCost.objects.values("key", "day", "value", "basis").annotate(n=Count("id")).filter(n__gt=1).count() == 0


def test_a_basis_that_changes_leaves_no_empty_sum_and_folding_twice_adds_nothing(fleet):
    organization = fleet[0].organization
    choose(organization)
    choose(organization, "ticket")
    roll()
    with transaction.atomic():
        CostRecord.objects.filter(organization=organization).update(basis="BILLED", compute_cost=1, total_cost=1)
    assert_agree(organization, "cost-center", "ticket")
    assert rolling.roll_up()["folded"] > 0
    assert rolling.roll_up() == {"folded": 0, "days": 0, "taken_away": 0, "waiting": False}
    assert set(TagCost.objects.values_list("basis", flat=True)) == {"BILLED"}
    assert_agree(organization, "cost-center", "ticket")


def test_a_dropped_key_goes_with_its_sums_and_can_be_chosen_again(fleet, monkeypatch):
    organization = fleet[0].organization
    key, kept = choose(organization), choose(organization, "ticket")
    roll()
    with pytest.raises(TagKeyChosen):
        choose(organization)
    drop_tag_key(actor=COMMAND, tag_key=key, now=NOW)
    with pytest.raises(TagKeyGoing):
        drop_tag_key(actor=COMMAND, tag_key=key, now=NOW)
    metering.meter(now=at(20))
    monkeypatch.setattr(rolling, "CHUNK", 1)
    roll()
    assert set(TagCost.objects.values_list("key", flat=True)) == {"ticket"}
    assert list(TagKey.objects.all()) == [kept]
    choose(organization)
    roll()
    assert_agree(organization, "cost-center", "ticket")


def test_there_are_so_many_keys_and_none_of_forges_own():
    organization = OrganizationFactory()
    with pytest.raises(TagKeyReserved):
        choose(organization, "forge:team")
    for number in range(MOST_KEYS):
        choose(organization, f"key-{number}")
    with pytest.raises(TooManyTagKeys):
        choose(organization, "one-more")


def test_costs_by_tag_over_the_api_are_of_the_whole_organization_and_for_those_who_see_it(months):
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    machines = [spend(world, world.engineer, tags={"purpose": "build"}), spend(world, world.lead)]
    stranger = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    spend(stranger, stranger.engineer, tags={"purpose": "theirs"})
    finance = client_of(world.finance)
    chosen = finance.post(f"{COSTS}/tag-keys/", {"key": "purpose"})
    assert (chosen.status_code, chosen.json()["state"]) == (201, "FILLING"), chosen.content
    choose_tag_key(actor=COMMAND, organization=stranger.organization, key="purpose", now=timezone.now())
    roll()
    path = f"{COSTS}/summary/?group_by=tag:purpose&{range_of_days()}"
    summary = hold(f"GET {COSTS}/summary/ by tag", lambda: finance.get(path)).json()
    amounts = {row["tag"]: Decimal(row["total_cost"]) for row in summary["groups"]}
    assert amounts == {"build": machines[0].cost_to_date, "": machines[1].cost_to_date}
    assert Decimal(summary["total"]["total_cost"]) == sum(amounts.values())
    assert summary["tag_since"] <= f"{timezone.now() - timedelta(days=2):%Y-%m-%d}"
    for interval in ("day", "week", "month"):
        series = f"{COSTS}/timeseries/?interval={interval}&group_by=tag:purpose&{range_of_days()}"
        points = get(world.auditor, series)["results"]
        assert sum(Decimal(row["total_cost"]) for row in points if row["tag"] == "build") == amounts["build"]
        assert sum(Decimal(row["total_cost"]) for row in points) == sum(amounts.values())
    assert get(world.finance, f"{path}&basis=BILLED")["groups"] == []
    for person in (world.engineer, world.lead, world.contractor):
        problem(client_of(person).get(path), 403, "may_not_see_all_costs")
        assert get(person, f"{COSTS}/tag-keys/")["results"] == []
    for query in ("group_by=tag:nothing", "group_by=tag:purpose,team", "group_by=team,tag:purpose"):
        answer = problem(finance.get(f"{COSTS}/timeseries/?{query}"), 400, "invalid_parameter")
        assert answer["errors"][0]["parameter"] == "group_by"
    answer = problem(finance.get(f"{path}&team={world.team.slug}"), 400, "invalid_parameter")
    assert answer["errors"][0]["parameter"] == "team"
    problem(finance.get(f"{COSTS}/timeseries/?interval=hour&group_by=tag:purpose"), 400, "invalid_parameter")
    (key,) = finance.get(f"{COSTS}/tag-keys/").json()["results"]
    problem(client_of(stranger.finance).delete(f"{COSTS}/tag-keys/{key['id']}/"), 404, "not_found")
    problem(finance.post(f"{COSTS}/tag-keys/", {"key": "purpose"}), 409, "tag_key_chosen")
    problem(finance.post(f"{COSTS}/tag-keys/", {"key": "aws:x"}), 422, "tag_key_reserved")
    assert finance.delete(f"{COSTS}/tag-keys/{key['id']}/").status_code == 204
    problem(finance.get(path), 400, "invalid_parameter")
