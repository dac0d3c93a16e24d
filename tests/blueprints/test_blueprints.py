"""Blueprints: versions without holes, content that never changes, and who may draft, publish and retire."""

from __future__ import annotations

import json

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from blueprints import services
from blueprints.content import content_hash
from blueprints.models import Blueprint, BlueprintBundle
from blueprints.permissions import MayNotChangeBlueprints
from blueprints.services import BundleOffer
from forge.api.errors import NotFound
from tests import factories
from tests import world as worlds
from tests.plugins.database import superuser_url
from tests.races.threads import at_once
from tests.workspaces.support import client_of, entries, problem
from tests.world import actor

BLUEPRINTS = "/api/v1/blueprints/"
OFFER = {"region": "us-east-1", "bundle_type": "STANDARD", "bundle_id": "wsb-123456789", "image_id": "wsi-123456789"}


@pytest.fixture
def world(db):
    return worlds.build()


def body(world, **changes):
    return {"name": "desktop", "team": world.team.slug, "operating_system": "LINUX", "bundles": [OFFER]} | changes


def drafted(world, **changes):
    return services.draft(
        **{
            "actor": actor(world.lead),
            "organization": world.organization,
            "team": world.team,
            "name": "desktop",
            "operating_system": "LINUX",
            "bundles": [BundleOffer(**OFFER)],
            **changes,
        }
    )


# -- versions ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_versions_are_1_2_3_whoever_asks_at_once():
    world = worlds.build()
    made = at_once(lambda who: drafted(world, actor=actor(who)), [world.engineer, world.lead, world.admin] * 4)
    assert sorted(one.version for one in made) == list(range(1, 13))
    assert {one.parent_version.version for one in made if one.version > 1} == set(range(1, 12))


def test_families_of_teams_and_of_the_organization_count_for_themselves(world):
    admin = actor(world.admin)
    other = factories.TeamFactory(organization=world.organization)
    places = [{"team": world.team}, {"team": other}, {"team": None}, {"team": None}, {"name": "other"}]
    assert [drafted(world, actor=admin, **place).version for place in places] == [1, 1, 1, 2, 1]


def test_a_version_is_made_from_the_version_it_was_asked_of(world):
    lead = client_of(world.lead)
    first = lead.post(BLUEPRINTS, body(world, description="one"), format="json").json()
    lead.post(BLUEPRINTS, body(world, description="two"), format="json")
    third = lead.post(f"{BLUEPRINTS}{first['id']}/versions/", {}, format="json").json()
    assert (third["version"], third["parent_version"], third["description"]) == (3, first["id"], "one")
    assert third["bundles"] == [OFFER]


# -- what was published does not change --------------------------------------------------------------------------
CHANGES = [
    "UPDATE blueprints_blueprint SET description = 'x' WHERE id = %s",
    "UPDATE blueprints_blueprint SET name = 'x' WHERE id = %s",
    "UPDATE blueprints_blueprint SET status = 'DRAFT', content_hash = '', published_at = NULL WHERE id = %s",
    "UPDATE blueprints_blueprint SET content_hash = repeat('1', 64) WHERE id = %s",
    "UPDATE blueprints_blueprint SET version = 99 WHERE id = %s",
    "UPDATE blueprints_blueprint SET configuration = '{\"a\": 1}' WHERE id = %s",
    "DELETE FROM blueprints_blueprint WHERE id = %s",
    "UPDATE blueprints_blueprintbundle SET image_id = 'wsi-x' WHERE blueprint_id = %s",
    "DELETE FROM blueprints_blueprintbundle WHERE blueprint_id = %s",
    """
    INSERT INTO blueprints_blueprintbundle
           (id, organization_id, blueprint_id, region, bundle_type, bundle_id, image_id)
    SELECT gen_random_uuid(), organization_id, id, 'eu-west-1', 'POWER', 'wsb-1', ''
      FROM blueprints_blueprint WHERE id = %s
    """,
]


@pytest.mark.parametrize("status", ["PUBLISHED", "RETIRED"])
@pytest.mark.parametrize("statement", CHANGES)
def test_the_application_cannot_change_what_was_published(world, statement, status):
    retired_at = timezone.now() if status == "RETIRED" else None
    Blueprint.objects.filter(pk=world.blueprint.pk).update(status=status, retired_at=retired_at)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, [world.blueprint.pk])


@pytest.mark.django_db(transaction=True)
def test_not_even_the_superuser_changes_it_while_the_triggers_stand():
    blueprint = worlds.build().blueprint
    with psycopg.connect(superuser_url(), autocommit=True) as superuser:
        for statement in CHANGES:
            with pytest.raises(psycopg.errors.CheckViolation):
                superuser.execute(statement, [blueprint.pk])


def test_a_retired_version_does_not_come_back(world):
    Blueprint.objects.filter(pk=world.blueprint.pk).update(status="RETIRED", retired_at=timezone.now())
    with pytest.raises(DatabaseError), transaction.atomic():
        Blueprint.objects.filter(pk=world.blueprint.pk).update(status="PUBLISHED", retired_at=None)


def test_a_bundle_does_not_move_into_or_out_of_a_published_blueprint(world):
    draft = drafted(world)
    with pytest.raises(DatabaseError), transaction.atomic():
        draft.bundles.update(blueprint=world.blueprint, region="eu-west-1")
    with pytest.raises(DatabaseError), transaction.atomic():
        BlueprintBundle.objects.filter(blueprint=world.blueprint).update(blueprint=draft, region="eu-west-1")


# -- content hash ------------------------------------------------------------------------------------------------
TEXTS = st.text('ab1 "\\é😀\n', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
FACTS = st.dictionaries(TEXTS, VALUES, max_size=5)
ROWS = st.lists(st.fixed_dictionaries({"region": TEXTS, "bundle_id": TEXTS}), max_size=5)


@PATIENT
@given(FACTS, ROWS, st.randoms())
def test_the_hash_does_not_depend_on_order(facts, rows, chance):
    items, shuffled = list(facts.items()), list(rows)
    chance.shuffle(items)
    chance.shuffle(shuffled)
    assert content_hash(dict(items), shuffled) == content_hash(facts, rows)


@PATIENT
@given(FACTS, ROWS, FACTS, ROWS)
def test_other_content_has_another_hash(facts, rows, others, other_rows):
    same = facts == others and sorted(map(str, rows)) == sorted(map(str, other_rows))
    alike = repr(facts) == repr(others)  # 1 == True in Python, not in JSON
    if same and alike:
        assert content_hash(facts, rows) == content_hash(others, other_rows)
    elif not same:
        assert content_hash(facts, rows) != content_hash(others, other_rows)


def test_publishing_fixes_the_hash_of_what_is_offered(world):
    one = drafted(world)
    published = services.publish(actor=actor(world.lead), blueprint=one, now=timezone.now())
    facts = services._content(published)
    assert published.content_hash == content_hash(facts, [OFFER])


# -- services and API ---------------------------------------------------------------------------------------------
def test_a_blueprint_is_drafted_changed_published_and_retired_with_one_entry_each(world):
    lead = client_of(world.lead)
    made = lead.post(BLUEPRINTS, body(world), format="json")
    assert made.status_code == 201, made.content
    address = f"{BLUEPRINTS}{made.json()['id']}/"
    assert made["Location"] == address
    changed = lead.patch(
        address, {"description": "better", "bundles": [OFFER | {"region": "eu-west-1"}]}, format="json"
    )
    assert (changed.json()["description"], changed.json()["bundles"][0]["region"]) == ("better", "eu-west-1")
    published = lead.post(f"{address}publish/")
    assert (published.json()["status"], len(published.json()["content_hash"])) == ("PUBLISHED", 64)
    problem(lead.patch(address, {"description": "worse"}, format="json"), 409, "not_a_draft")
    problem(lead.post(f"{address}publish/"), 409, "not_a_draft")
    assert lead.post(f"{address}retire/").json()["status"] == "RETIRED"
    problem(lead.post(f"{address}retire/"), 409, "not_published")
    told = [(entry.action_type, entry.result) for entry in entries(lead)]
    success = [("BLUEPRINT_CREATE", "SUCCESS"), ("BLUEPRINT_UPDATE", "SUCCESS"), ("BLUEPRINT_PUBLISH", "SUCCESS")]
    assert told[:3] == success
    assert [result for _, result in told[3:]] == ["FAILURE", "FAILURE", "SUCCESS", "FAILURE"]
    assert {entry.resource_id for entry in entries(lead)[:3]} == {made.json()["id"]}


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"bundles": [OFFER, OFFER]}, 422, "bundle_twice"),
        ({"bundles": [OFFER | {"bundle_type": "HUGE"}]}, 400, "invalid"),
        ({"bundles": [OFFER | {"bundle_id": "x"}]}, 400, "invalid"),
        ({"software_manifest": {"a": "b" * 70_000}}, 422, "document_too_large"),
        ({"team": "nowhere"}, 422, "unknown_team"),
        ({"name": ""}, 400, "invalid"),
        ({"operating_system": "BEOS"}, 400, "invalid"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(world, changes, status, code):
    problem(client_of(world.lead).post(BLUEPRINTS, body(world, **changes), format="json"), status, code)
    assert Blueprint.objects.count() == 1


def test_a_draft_grows_no_larger_by_a_change(world):
    draft = drafted(world)
    lead = client_of(world.lead)
    big = {"configuration": {"a": "b" * 70_000}}
    problem(lead.patch(f"{BLUEPRINTS}{draft.pk}/", big, format="json"), 422, "document_too_large")


@pytest.mark.parametrize("document", [{"n": 1e30}, {"list": [1, {"n": 2**53}]}, {"n": -(10**17)}])
@pytest.mark.parametrize("part", ["software_manifest", "configuration"])
def test_what_cannot_be_hashed_as_it_is_stored_is_refused_at_the_draft(world, part, document):
    lead = client_of(world.lead)
    problem(lead.post(BLUEPRINTS, body(world, **{part: document}), format="json"), 422, "document_not_canonical")
    made = lead.post(BLUEPRINTS, body(world), format="json").json()["id"]
    answer = lead.patch(f"{BLUEPRINTS}{made}/", {part: document}, format="json")
    problem(answer, 422, "document_not_canonical")


def test_what_is_nested_too_deeply_or_no_number_is_refused_however_it_comes(world):
    for document in (json.loads('{"a":' * 300 + "1" + "}" * 300), {"n": float("nan")}):
        with pytest.raises(services.DocumentNotCanonical):
            drafted(world, configuration=document)


def test_numbers_that_json_holds_are_published(world):
    numbers = {"n": [2**53 - 1, -1, 0, 1.5, 1e15, 1e-7, True, None]}
    lead = client_of(world.lead)
    made = lead.post(BLUEPRINTS, body(world, software_manifest=numbers), format="json").json()["id"]
    assert lead.post(f"{BLUEPRINTS}{made}/publish/").status_code == 200


def test_a_draft_without_bundles_is_not_published(world):
    with pytest.raises(services.NoBundles):
        services.publish(actor=actor(world.lead), blueprint=drafted(world, bundles=[]), now=timezone.now())


def test_services_ask_for_bundles_that_exist_and_teams_of_the_organization(world):
    with pytest.raises(services.UnknownBundleType):
        drafted(world, bundles=[BundleOffer("us-east-1", "HUGE", "wsb-1")])
    foreign = factories.TeamFactory()
    with pytest.raises(NotFound):
        drafted(world, actor=Actor.command("tests"), team=foreign)


ROLES = ["contractor", "engineer", "lead", "finance", "auditor", "admin"]


@pytest.mark.parametrize("role", ROLES)
def test_who_may_draft_publish_and_see(world, role):
    client = client_of(getattr(world, role))
    drafting, publishing = role in ("engineer", "lead", "admin"), role in ("lead", "admin")
    made = client.post(BLUEPRINTS, body(world), format="json")
    assert made.status_code == (201 if drafting else 403), made.content
    wide = client.post(BLUEPRINTS, body(world, team=None), format="json")
    assert wide.status_code == (201 if role == "admin" else 403)
    draft = drafted(world, name="other")
    assert client.post(f"{BLUEPRINTS}{draft.pk}/publish/").status_code == (200 if publishing else 403)
    assert client.post(f"{BLUEPRINTS}{world.blueprint.pk}/retire/").status_code == (200 if publishing else 403)
    other = factories.BlueprintFactory(
        organization=world.organization, team=factories.TeamFactory(organization=world.organization)
    )
    sees_all = role in ("finance", "auditor", "admin")
    assert client.get(f"{BLUEPRINTS}{world.blueprint.pk}/").status_code == 200
    assert client.get(f"{BLUEPRINTS}{other.pk}/").status_code == (200 if sees_all else 404)


def test_an_admin_changes_nothing_of_another_organization(world):
    theirs = factories.BlueprintFactory()
    admin = client_of(world.admin)
    for path in ("publish/", "retire/", "versions/"):
        problem(admin.post(f"{BLUEPRINTS}{theirs.pk}/{path}", {}, format="json"), 404, "not_found")
    assert {entry.result for entry in entries(admin)} == {"DENIED"}
    with pytest.raises(MayNotChangeBlueprints):
        services.retire(actor=actor(world.admin), blueprint=theirs, now=timezone.now())


def test_an_operator_of_the_installation_drafts_nothing(world):
    operator = client_of(factories.UserFactory(organization=None, directory_username=""))
    problem(operator.post(BLUEPRINTS, body(world), format="json"), 403, "no_organization")
    problem(operator.post(f"{BLUEPRINTS}{world.blueprint.pk}/retire/"), 403, "may_not_change_blueprints")


def test_latest_shows_the_newest_published_version_of_each_family(world):
    now = timezone.now()
    for _ in range(2):
        newest = services.publish(actor=actor(world.lead), blueprint=drafted(world), now=now)
    drafted(world)
    rows = client_of(world.engineer).get(f"{BLUEPRINTS}?latest=true").json()["results"]
    assert {row["id"] for row in rows} == {str(newest.pk), str(world.blueprint.pk)}
