"""`manage.py forge_init`: the first organization and admin of a real installation."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from audit.models import AuditLog
from forge.accounts.models import Membership, Organization, User
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = {"organization": "acme", "email": "you@acme.example"}


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv("FORGE_ADMIN_PASSWORD", PASSWORD)


def init(**asked):
    out = StringIO()
    call_command("forge_init", stdout=out, **(ASKED | asked))
    return out.getvalue()


def test_it_makes_an_organization_and_an_admin_who_can_sign_in():
    assert init(timezone="Europe/Berlin", currency="EUR") == (
        "Made organization acme and its admin you@acme.example.\n"
    )
    organization = Organization.objects.get()
    assert (organization.slug, organization.currency, organization.timezone) == ("acme", "EUR", "Europe/Berlin")
    assert [(m.role, m.team) for m in Membership.objects.filter(user__email="you@acme.example")] == [("admin", None)]
    answer = Client().post("/admin/login/?next=/admin/", {"username": "you@acme.example", "password": PASSWORD})
    assert answer.status_code == 302
    entries = AuditLog.objects.filter(interface="COMMAND")
    assert {entry.organization_id for entry in entries} == {organization.id}
    assert {entry.context["command"] for entry in entries} == {"forge_init"}


def test_a_second_time_is_refused_and_changes_nothing():
    init()
    with pytest.raises(CommandError, match="has an organization already"):
        init(organization="other", email="other@acme.example")
    assert (Organization.objects.count(), User.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"timezone": "Mars/Olympus"}, "Not a time zone"),
        ({"currency": "dollars"}, "--currency: .*ISO 4217"),
        ({"currency": "usd"}, "--currency: .*ISO 4217"),
        ({"organization": "Not a slug!"}, "--organization: .*slug"),
        ({"organization": ""}, "--organization: .*required"),
        ({"email": "nobody"}, "--email: .*valid email"),
        ({"name": "x" * 300}, "--name: .*at most 200"),
        ({"name": "a\x00b"}, "--name: Null characters"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_made(asked, reason):
    with pytest.raises(CommandError, match=reason):
        init(**asked)
    assert not Organization.objects.exists()
    assert not User.objects.exists()


def test_a_weak_password_is_refused_and_nothing_is_made(monkeypatch):
    monkeypatch.setenv("FORGE_ADMIN_PASSWORD", "password")
    with pytest.raises(CommandError, match="The password is not taken: This password is too short"):
        init()
    assert not Organization.objects.exists()
