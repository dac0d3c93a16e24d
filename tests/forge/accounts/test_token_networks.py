"""A token with networks is used from these alone, and widens them by nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DataError
from django.utils import timezone
from rest_framework.test import APIClient

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts import networks
from forge.accounts.models import ApiToken
from forge.accounts.token_services import NotANetwork, issue_token
from tests.factories import MembershipFactory
from tests.workspaces.support import client_of, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    return MembershipFactory(role="engineer").user


def issued(person, *allowed):
    return issue_token(actor=Actor.command("t"), user=person, name="t", now=timezone.now(), networks=allowed)


def client_from(address, text, **headers):
    client = APIClient(raise_request_exception=False, REMOTE_ADDR=address, **headers)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


@pytest.mark.parametrize(
    ("allowed", "address", "opens"),
    [
        (["203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/24"], "203.0.114.9", False),
        (["203.0.113.7"], "203.0.113.7", True),
        (["203.0.113.7"], "203.0.113.8", False),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db8::5", True),
        (["10.0.0.0/8"], "2001:db8::5", False),
        ([], "192.0.2.1", True),
    ],
)
def test_where_the_token_is_used_from_decides(person, allowed, address, opens):
    _, text = issued(person, *allowed)
    answer = client_from(address, text).get("/api/v1/me/")
    if opens:
        assert answer.status_code == 200
        return
    problem(answer, 403, "token_network")
    entry = AuditLog.objects.latest("timestamp")
    assert (entry.action_type, entry.result, entry.user_id, entry.source_ip) == (
        "ACCESS_DENIED",
        "DENIED",
        person.id,
        address,
    )


def test_what_a_caller_says_of_itself_is_not_believed_and_a_trusted_proxy_is(person, settings):
    _, text = issued(person, "203.0.113.0/24")
    client = client_from("192.0.2.1", text, HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert client.get("/api/v1/me/").status_code == 403
    settings.FORGE_TRUSTED_PROXIES = 1
    assert client.get("/api/v1/me/").status_code == 200


def test_networks_are_named_over_the_api_in_one_spelling_and_shown(person):
    body = {"name": "t", "networks": ["203.0.113.7", "2001:DB8::/32"]}
    made = client_of(person).post("/api/v1/tokens/", body, format="json")
    assert made.status_code == 201
    assert made.json()["networks"] == ["203.0.113.7/32", "2001:db8::/32"]
    assert AuditLog.objects.get(resource_id=made.json()["id"]).changes["after"]["networks"] == made.json()["networks"]
    for wrong in ("203.0.113.7/24", "anywhere", ""):
        answer = client_of(person).post("/api/v1/tokens/", {"name": "t", "networks": [wrong]}, format="json")
        assert answer.status_code in (400, 422), wrong
    with pytest.raises(NotANetwork):
        issued(person, "203.0.113.7/24")


def test_a_token_issues_none_for_elsewhere(person):
    _, text = issued(person, "203.0.113.0/24")
    client = client_from("203.0.113.9", text)
    for given, status in ((["203.0.113.16/28"], 201), (["203.0.112.0/23"], 403), ([], 403), (["::/0"], 403)):
        answer = client.post("/api/v1/tokens/", {"name": "t", "networks": given}, format="json")
        assert answer.status_code == status, given


def test_postgresql_keeps_what_is_no_network_out(person):
    token, _ = issued(person)
    with pytest.raises((IntegrityError, DataError)), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_apitoken SET networks = '{anywhere}' WHERE id = %s", [token.id])
    assert ApiToken.objects.get().networks == []


def test_no_address_is_in_no_network():
    assert not networks.holds(["0.0.0.0/0"], None)
    assert networks.holds([], None)


def test_scopes_and_networks_hold_together(person):
    now = timezone.now()
    _, text = issue_token(
        actor=Actor.command("t"), user=person, name="t", now=now, scopes=["read"], networks=["203.0.113.0/24"],
        expires_at=now + timedelta(days=1),
    )  # fmt: skip
    inside = client_from("203.0.113.9", text)
    assert inside.get("/api/v1/me/").status_code == 200
    problem(inside.post("/api/v1/tokens/", {"name": "t"}, format="json"), 403, "token_scope")
