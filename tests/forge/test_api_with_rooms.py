"""The API kit with the real rooms: tokens, audit entries, the schema and docs of the whole API."""

import itertools
import re
import threading

import pytest
import yaml
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection, connections
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from rest_framework.test import APIClient

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import Team
from forge.accounts.token_services import issue_token
from forge.db.ids import uuid7
from tests.factories import MembershipFactory, TeamFactory

TEAMS = "/api/v1/teams/"


def client_of(role, **membership):
    """A client with a token of a new person who has that role in the whole organization, or in a new team."""
    team = {"team": None} if role in ("admin", "auditor", "finance") else {}
    user = MembershipFactory(role=role, **team, **membership).user
    _, text = issue_token(actor=Actor.command("tests"), user=user, name="tests", now=timezone.now())
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    client.user = user
    return client


def make_team(client, slug="red", key="key-1"):
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(TEAMS, {"slug": slug, "name": slug.title()}, format="json", **headers)


def entries(**fields):
    return AuditLog.objects.filter(**fields).exclude(action_type="TOKEN_CREATE")


@pytest.mark.django_db
def test_a_replay_repeats_the_receipt_and_leaves_no_entry_of_its_own():
    admin = client_of("admin")
    first, again = make_team(admin), make_team(admin)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["Audit-Receipt"] == again.headers["Audit-Receipt"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [entry.action_type for entry in entries()] == ["TEAM_CREATE"]


CHANGES_NOTHING = {"/api/v1/budgets/check/", "/api/v1/costs/quote/"}


@pytest.mark.django_db
def test_every_post_obeys_an_idempotency_key_or_refuses_it():
    document = yaml.load((settings.BASE_DIR / "docs/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}
    admin = client_of("admin")
    told = {}
    for path in posts.keys() - CHANGES_NOTHING:
        answer = admin.post(re.sub(r"{\w+}", str(uuid7()), path), {}, HTTP_IDEMPOTENCY_KEY="k" * 256)
        told[path] = (answer.status_code, answer.json()["code"])
    takes = {path for path, post in posts.items() if "Idempotency-Key" in str(post.get("parameters"))}
    assert not takes & CHANGES_NOTHING
    assert told == {
        path: (400, "invalid_idempotency_key" if path in takes else "idempotency_key_not_taken") for path in told
    }
    assert len(told) > 50


@pytest.mark.django_db
def test_a_kept_refusal_has_one_denied_entry_however_often_it_is_sent():
    admin = client_of("admin")
    body = {"slug": "apollo", "name": "Apollo", "teams": ["nowhere"]}
    first, again = (
        admin.post("/api/v1/projects/", body, format="json", HTTP_IDEMPOTENCY_KEY="key-1") for _ in range(2)
    )
    assert first.status_code == again.status_code == 422, first.content
    assert first.content == again.content
    assert first.headers["Audit-Receipt"] == again.headers["Audit-Receipt"]
    assert [entry.result for entry in entries()] == ["DENIED"]


@pytest.mark.django_db
def test_an_answer_that_is_not_kept_has_its_entry_each_time():
    admin = client_of("admin")
    TeamFactory(organization=admin.user.organization, slug="red")
    assert [make_team(admin).status_code for _ in range(2)] == [409, 409]
    assert [entry.result for entry in entries()] == ["FAILURE", "FAILURE"]


@pytest.mark.django_db(transaction=True)
def test_twins_of_a_real_service_make_one_row_and_one_entry(scale):
    admin = client_of("admin")
    barrier, answers = threading.Barrier(20), []

    def post():
        barrier.wait()
        client = APIClient(raise_request_exception=False)
        client.credentials(**admin._credentials)
        answers.append(make_team(client))
        connections.close_all()

    threads = [threading.Thread(target=post) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({(answer.content, answer.headers["Audit-Receipt"]) for answer in answers}) == 1
    assert Team.objects.filter(slug="red").count() == 1
    assert entries().count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_a_503_and_the_next_request_works(superuser_connection):
    admin = client_of("admin")
    for send in (lambda: admin.get(TEAMS), lambda: make_team(admin), lambda: make_team(admin, key=None)):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [pid] = cursor.fetchone()
        superuser_connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        answer = send()
        assert answer.status_code == 503, answer.content
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"]
        connections.close_all()  # as Django does between requests
    assert make_team(admin).status_code == 201


@pytest.mark.django_db
def test_another_organizations_row_is_not_found_and_its_search_is_denied():
    admin, theirs = client_of("admin"), TeamFactory()
    answer = admin.get(f"{TEAMS}{theirs.pk}/")
    never = admin.get(f"{TEAMS}{admin.user.organization_id}/")
    assert (answer.status_code, never.status_code) == (404, 404)
    assert {**answer.json(), "instance": "", "request_id": ""} == {**never.json(), "instance": "", "request_id": ""}
    assert [entry.result for entry in entries()] == ["DENIED"]


OF_THE_SCHEMA = pytest.mark.xdist_group("schema")
"""Tests on one worker: the schema takes longer to make than most of what is asked about it."""


@pytest.fixture(scope="module")
def schema():
    GENERATOR_STATS.reset()
    generated = SchemaGenerator().get_schema(request=None, public=True)
    validate_schema(generated)
    assert not GENERATOR_STATS._error_cache, GENERATOR_STATS._error_cache
    return generated


def operations(schema, method):
    return {path: found[method] for path, found in schema["paths"].items() if method in found}


@OF_THE_SCHEMA
def test_every_operation_documents_its_problems_and_who_may_call_it(schema):
    for method in ("get", "post", "put", "patch", "delete"):
        for path, operation in operations(schema, method).items():
            if path.startswith("/api/v1/"):
                assert operation["responses"]["400"] == {"$ref": "#/components/responses/Problem400"}, path
                assert {"bearerToken": []} in operation["security"], path


@OF_THE_SCHEMA
@pytest.mark.django_db
def test_every_list_refuses_an_unknown_parameter_and_a_page_out_of_range(schema):
    admin = client_of("admin")
    lists = [
        path
        for path, operation in operations(schema, "get").items()
        if "{" not in path and any(parameter["name"] == "cursor" for parameter in operation.get("parameters", ()))
    ]
    assert len(lists) > 5
    for path in lists:
        for address in (path, path.rstrip("/")):
            answer = admin.get(address)
            assert answer.status_code == 200, (address, answer.content)
            assert set(answer.json()) == {"next", "previous", "results"}
        for query in ("nonsense=1", "page_size=0", "page_size=1001", "ordering=nonsense", "cursor=nonsense"):
            refused = admin.get(f"{path}?{query}")
            assert (refused.status_code, refused.json()["status"]) == (400, 400), (path, query)


@OF_THE_SCHEMA
@pytest.mark.django_db
def test_every_order_and_every_filter_that_is_documented_works(schema):
    admin = client_of("admin")
    samples = {
        "uuid": "0190f5a2-0000-7000-8000-000000000000",
        "date-time": "2026-03-01T00:00:00Z",
        "date": "2026-03-01",
    }
    for path, operation in operations(schema, "get").items():
        if "{" in path or not any(parameter["name"] == "cursor" for parameter in operation.get("parameters", ())):
            continue
        known, free = {}, []
        for parameter in operation["parameters"]:
            kind = parameter["schema"].get("items", parameter["schema"])
            values = (
                kind.get("enum") or [samples[kind["format"]]] if kind.get("format") in samples else kind.get("enum")
            )
            if values:
                known[parameter["name"]] = [str(one).lower() if one in (True, False) else one for one in values]
            elif parameter["name"] != "cursor":
                free.append(parameter["name"])
        # One value of each parameter in a request: a page is given only if it takes every one of them.
        for values in itertools.zip_longest(*known.values()):
            asked = {name: value for name, value in zip(known, values, strict=True) if value is not None}
            answer = admin.get(path, asked)
            assert answer.status_code == 200, (path, asked, answer.content)
        for name in free:
            answer = admin.get(path, {name: "1"})
            refused = answer.status_code == 400 and answer.json()["code"] == "invalid_parameter"
            assert answer.status_code == 200 or refused, (path, name, answer.content)


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/v1/docs", "/api/v1/docs/"])
def test_the_docs_page_is_complete_without_the_internet(address):
    answer = APIClient().get(address)
    assert answer.status_code == 200
    html = answer.content.decode()
    assert "swagger" in html
    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert assets
    assert not [asset for asset in assets if asset.startswith(("http:", "https:", "//"))]
    assert all(finders.find(asset.removeprefix("/static/")) for asset in assets if asset.startswith("/static/"))


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/v1/schema", "/api/v1/schema/"])
def test_the_schema_is_served_with_and_without_the_last_slash(address):
    assert APIClient().get(address).json()["openapi"].startswith("3.1")
    assert APIClient().get(address, HTTP_ACCEPT="application/vnd.oai.openapi").content.startswith(b"openapi: 3.1")
