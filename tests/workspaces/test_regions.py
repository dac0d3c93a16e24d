"""The region of a launch that names none: the nearest to the owner, within the team's policy, and why."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import AuditLog
from tests import factories
from tests import world as worlds
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.world import actor
from workspaces.models import RegionLatency, RegionPolicy, WorkSpace
from workspaces.regions import places, setting
from workspaces.regions.choosing import RegionNotAllowed, RegionRequired, choose
from workspaces.regions.latency import CITIES, distance_km, estimated

LATENCIES, POLICIES = "/api/v1/region-latencies/", "/api/v1/region-policies/"
QUOTE = "/api/v1/costs/quote/"
OPEN = {"us-east-1", "eu-central-1", "ap-southeast-2"}


@pytest.fixture
def wide(world):
    """The world with a blueprint that offers STANDARD in three regions, all of them open."""
    blueprint = factories.BlueprintFactory(
        organization=world.organization, team=world.team, bundle=None, status="DRAFT"
    )
    for region in sorted(OPEN):
        factories.BlueprintBundleFactory(
            blueprint=blueprint,
            region=region,
            bundle_type="STANDARD",
            bundle_id=worlds.catalog.bundle_id(region, worlds.IMAGE, "STANDARD"),
        )
        if region != worlds.REGION:
            factories.ProviderAccountFactory(organization=world.organization, region=region, name=region)
    factories.publish(blueprint)
    return blueprint


def lives(user, location):
    type(user).objects.filter(pk=user.pk).update(location=location)


def chosen(world, location, possible=OPEN, asked=None):
    return choose(organization=world.organization, team=world.team, location=location, possible=possible, asked=asked)


def measure(world, place, region, milliseconds):
    return setting.create_latency(
        actor=actor(world.admin),
        organization=world.organization,
        place=place,
        region=region,
        milliseconds=milliseconds,
        source="ping of 2026-11-20",
        now=timezone.now(),
    )


def bound(world, *regions):
    return setting.create_region_policy(
        actor=actor(world.admin),
        organization=world.organization,
        team=world.team,
        regions=regions,
        now=timezone.now(),
    )


# -- places and estimates ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "location", ["Berlin", " berlin ", "BERLIN, Germany", "Berlin,DE", "Berlin, Land Berlin, Germany", "Germany", "de"]
)
def test_a_place_is_found_whatever_its_writing(location):
    assert places.find(location) == places.Point(52.52, 13.41)


@pytest.mark.parametrize("location", ["Zürich, CH", "ZURICH, Switzerland", "Bern", "Switzerland"])
def test_accents_do_not_matter_and_small_capitals_are_there(location):
    assert distance_km(places.find(location), places.Point(47.37, 8.55)) < 120


@pytest.mark.parametrize("location", ["", ",", "Vault 101", "United States", "Berlin, France", "Berlin, Nowhere"])
def test_what_says_nothing_of_where_is_not_found(location):
    assert places.find(location) is None


def test_a_name_that_several_cities_share_needs_its_country():
    assert places.find("Hyderabad") is None
    assert distance_km(places.find("Hyderabad, India"), CITIES["ap-south-2"][1]) < 50


def test_distance_and_estimate_agree_with_figures_reckoned_by_hand():
    berlin = places.find("Berlin")
    assert distance_km(berlin, CITIES["eu-central-1"][1]) == pytest.approx(423, abs=5)
    assert distance_km(places.Point(0, 0), places.Point(0, 180)) == pytest.approx(20015, abs=1)
    assert estimated(berlin, "eu-central-1") == 8
    assert estimated(CITIES["eu-west-2"][1], "eu-west-2") == 1
    assert estimated(berlin, "mars-north-1") is None


def test_every_row_of_the_table_is_a_place_on_the_globe():
    cities, countries = places._index()
    points = [row.point for rows in (*cities.values(), *countries.values()) for row in rows if row.point]
    assert len(points) > 1000
    assert all(abs(point.latitude) <= 90 and abs(point.longitude) <= 180 for point in points)


# -- the choice ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("location", "region"), [("Munich", "eu-central-1"), ("Boston", "us-east-1"), ("Wellington", "ap-southeast-2")]
)
def test_the_nearest_region_is_taken_and_the_others_are_named_nearest_first(world, location, region):
    answer = chosen(world, location).answer
    assert (answer["region"], answer["basis"]) == (region, "ESTIMATED")
    assert "estimated from the distance" in answer["why"]
    figures = [answer["latency_ms"], *(other["latency_ms"] for other in answer["alternatives"])]
    assert figures == sorted(figures)
    assert {other["region"] for other in answer["alternatives"]} == OPEN - {region}


def test_a_measured_latency_wins_over_the_estimate_until_it_is_taken_back(world):
    made = measure(world, "Munich ", "us-east-1", 1)
    answer = chosen(world, "munich").answer
    assert (answer["region"], answer["basis"], answer["latency_ms"]) == ("us-east-1", "MEASURED", 1)
    assert answer["alternatives"][0] == {"region": "eu-central-1", "latency_ms": 6, "basis": "ESTIMATED"}
    setting.change_latency(
        actor=actor(world.admin), latency_id=made.pk, milliseconds=None, source="wrong", now=timezone.now()
    )
    assert chosen(world, "munich").region == "eu-central-1"


def test_equals_are_taken_by_name_and_the_answer_says_so(world):
    measure(world, "Vault 101", "us-east-1", 20)
    measure(world, "Vault 101", "eu-central-1", 20)
    choice = chosen(world, "vault 101")
    assert choice.region == "eu-central-1"
    assert "As near, and later by name: us-east-1." in choice.why
    assert choice.answer["alternatives"][-1] == {"region": "ap-southeast-2", "latency_ms": None, "basis": None}


@pytest.mark.parametrize("location", ["", "Vault 101"])
def test_an_unknown_place_takes_the_only_region_and_of_several_none(world, location):
    assert chosen(world, location, {"us-east-1"}).answer == {
        "region": "us-east-1",
        "latency_ms": None,
        "basis": None,
        "why": "It is the only one possible.",
        "alternatives": [],
    }
    with pytest.raises(RegionRequired) as refused:
        chosen(world, location)
    assert refused.value.extra == {"regions": sorted(OPEN)}


def test_another_organizations_latencies_and_policies_do_not_count(world):
    other = worlds.build()
    measure(other, "Munich", "us-east-1", 1)
    bound(other, "us-east-1")
    assert chosen(world, "Munich").region == "eu-central-1"


def test_the_policy_bounds_the_choice_and_what_is_asked_for(world):
    policy = bound(world, "us-east-1", "ap-southeast-2")
    assert chosen(world, "Munich").region == "us-east-1"
    assert chosen(world, "", asked="us-east-1").why == "It was asked for."
    with pytest.raises(RegionNotAllowed) as refused:
        chosen(world, "Munich", asked="eu-central-1")
    assert refused.value.extra == {"region": "eu-central-1", "allowed": ["ap-southeast-2", "us-east-1"]}
    with pytest.raises(RegionNotAllowed):
        chosen(world, "Munich", {"eu-central-1"})
    setting.change_region_policy(actor=actor(world.admin), policy_id=policy.pk, regions=[], now=timezone.now())
    assert chosen(world, "Munich").region == "eu-central-1"


# -- launch, dry run, quote ------------------------------------------------------------------------------------------
def test_launch_dry_run_and_quote_say_the_region_and_why(world, wide):
    lives(world.engineer, "Boston, US")
    client = client_of(world.engineer)
    body = world.body(blueprint=str(wide.pk), region=None)
    quoted = client.post(QUOTE, {**body, "hours": 10}, format="json").json()["region_choice"]
    dry = client.post(f"{WORKSPACES}?dry_run=true", body, format="json").json()["region_choice"]
    answer = client.post(WORKSPACES, body, format="json")
    assert answer.status_code == 202, answer.content
    launched = answer.json()
    assert quoted == dry == launched["region_choice"]
    assert (dry["region"], launched["region"], WorkSpace.objects.get().region) == ("us-east-1",) * 3
    assert [other["region"] for other in dry["alternatives"]] == ["eu-central-1", "ap-southeast-2"]


def test_launch_for_a_colleague_follows_the_owners_place_not_the_callers(world, wide):
    lives(world.lead, "Munich")
    lives(world.engineer, "Boston")
    body = world.body(blueprint=str(wide.pk), region=None, owner=world.engineer.email)
    answer = client_of(world.lead).post(f"{WORKSPACES}?dry_run=true", body, format="json").json()
    assert answer["region_choice"]["region"] == "us-east-1"


def test_a_launch_of_an_unknown_place_or_outside_the_policy_is_refused_and_leaves_nothing(world, wide):
    client = client_of(world.engineer)
    lives(world.engineer, "Vault 101")
    document = problem(
        client.post(WORKSPACES, world.body(blueprint=str(wide.pk), region=None), format="json"), 400, "region_required"
    )
    assert document["regions"] == sorted(OPEN)
    bound(world, "eu-central-1")
    document = problem(
        client.post(WORKSPACES, world.body(blueprint=str(wide.pk)), format="json"), 422, "region_not_allowed"
    )
    assert document["allowed"] == ["eu-central-1"]
    assert not WorkSpace.objects.exists()


# -- setting --------------------------------------------------------------------------------------------------------
def test_admins_set_and_change_latencies_and_policies(world):
    client = client_of(world.admin)
    wanted = {"place": "  MÜNCHEN ", "region": "eu-central-1", "milliseconds": 12, "source": "ping"}
    made = client.post(LATENCIES, wanted, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["place"] == "munchen"
    address = f"{LATENCIES}{made.json()['id']}/"
    assert client.patch(address, {"milliseconds": None, "source": "s"}, format="json").json()["milliseconds"] is None
    document = problem(client.post(LATENCIES, wanted, format="json"), 409, "region_latency_exists")
    assert document["latency"] == made.json()["id"]
    policy = client.post(POLICIES, {"team": world.team.slug, "regions": ["us-east-1", "us-east-1"]}, format="json")
    assert (policy.status_code, policy.json()["regions"]) == (201, ["us-east-1"])
    again = client.post(POLICIES, {"team": world.team.slug, "regions": []}, format="json")
    assert problem(again, 409, "region_policy_exists")["policy"] == policy.json()["id"]
    changed = client.patch(f"{POLICIES}{policy.json()['id']}/", {"regions": []}, format="json")
    assert (changed.status_code, changed.json()["regions"]) == (200, [])
    entry = AuditLog.objects.filter(action_type="REGION_POLICY_UPDATE").get()
    assert (entry.changes["before"]["regions"], entry.changes["after"]["regions"]) == (["us-east-1"], [])


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"region": "mars-north-1"}, 422, "unknown_region"),
        ({"place": " , "}, 422, "latency_refused"),
        ({"milliseconds": 0}, 400, None),
        ({"milliseconds": 5001}, 400, None),
        ({"source": ""}, 400, None),
    ],
)
def test_a_latency_that_cannot_be_is_refused(world, change, status, code):
    wanted = {"place": "Berlin", "region": "eu-central-1", "milliseconds": 12, "source": "ping", **change}
    answer = client_of(world.admin).post(LATENCIES, wanted, format="json")
    assert answer.status_code == status, answer.content
    assert code in (None, answer.json()["code"])
    assert not RegionLatency.objects.exists()


def test_a_policy_of_no_region_of_aws_is_refused_unless_an_account_stands_there(world):
    client = client_of(world.admin)
    wanted = {"team": world.team.slug, "regions": ["xx-new-1"]}
    problem(client.post(POLICIES, wanted, format="json"), 422, "unknown_region")
    factories.ProviderAccountFactory(organization=world.organization, region="xx-new-1", name="new")
    assert client.post(POLICIES, wanted, format="json").status_code == 201


@pytest.mark.parametrize("role", ["engineer", "contractor", "lead", "finance", "auditor"])
def test_everybody_but_admins_only_sees(world, role):
    latency, policy = measure(world, "Berlin", "us-east-1", 90), bound(world, "us-east-1")
    client = client_of(getattr(world, role))
    assert [row["id"] for row in client.get(LATENCIES).json()["results"]] == [str(latency.pk)]
    assert [row["id"] for row in client.get(POLICIES).json()["results"]] == [str(policy.pk)]
    change = client.patch(f"{POLICIES}{policy.pk}/", {"regions": []}, format="json")
    problem(change, 403, "may_not_set_regions")
    change = client.patch(f"{LATENCIES}{latency.pk}/", {"milliseconds": 1, "source": "s"}, format="json")
    problem(change, 403, "may_not_set_regions")


def test_another_organizations_rows_and_teams_are_not_there(world):
    other = worlds.build()
    latency, policy = measure(other, "Berlin", "us-east-1", 90), bound(other, "us-east-1")
    client = client_of(world.admin)
    assert client.get(LATENCIES).json()["results"] == client.get(POLICIES).json()["results"] == []
    assert client.patch(f"{POLICIES}{policy.pk}/", {"regions": []}, format="json").status_code == 404
    assert (
        client.patch(f"{LATENCIES}{latency.pk}/", {"milliseconds": 1, "source": "s"}, format="json").status_code == 404
    )
    factories.TeamFactory(organization=other.organization, slug="theirs")
    problem(client.post(POLICIES, {"team": "theirs", "regions": []}, format="json"), 422, "unknown_team")
    with pytest.raises(setting.NotTheTeam):
        setting.create_region_policy(
            actor=actor(world.admin),
            organization=world.organization,
            team=other.team,
            regions=[],
            now=timezone.now(),
        )


def test_postgresql_refuses_a_second_row_and_an_impossible_figure(world):
    row = {"organization": world.organization, "place": "berlin", "region": "us-east-1", "source": "s"}
    RegionLatency.objects.create(**row)
    for wrong in ({}, {"region": "eu-west-1", "milliseconds": 5001}, {"place": ""}, {"place": "x", "source": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            RegionLatency.objects.create(**{**row, **wrong})
    bound(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        RegionPolicy.objects.create(organization=world.organization, team=world.team)


def test_an_audit_log_that_does_not_take_the_entry_takes_the_row_with_it(world, monkeypatch):
    def broken(**_):
        raise RuntimeError("no audit log")

    monkeypatch.setattr(setting, "record", broken)
    for make in (lambda: measure(world, "Berlin", "us-east-1", 90), lambda: bound(world, "us-east-1")):
        with pytest.raises(RuntimeError):
            make()
    assert not RegionLatency.objects.exists()
    assert not RegionPolicy.objects.exists()
