"""Service accounts act by tokens with an end, as SERVICE in the log, and nobody signs in to one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from forge.accounts import services
from forge.accounts.backends import EmailBackend
from forge.accounts.models import User
from tests import world as worlds
from tests.workspaces.support import client_of, problem
from tests.world import actor

pytestmark = pytest.mark.django_db

LIST = "/api/v1/service-accounts/"


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def made(world, **changes):
    facts = {"name": "ci-runner", "role": "engineer", "team": world.team.slug} | changes
    return client_of(world.admin).post(LIST, facts, format="json")


def token_of(world, service_id, **facts):
    body = {"name": "t", "expires_at": (timezone.now() + timedelta(days=30)).isoformat()} | facts
    return client_of(world.admin).post(f"{LIST}{service_id}/tokens/", body, format="json")


def test_what_a_service_does_is_told_of_as_a_services_and_its_role_decides(world):
    answer = made(world)
    assert answer.status_code == 201
    assert answer.json()["roles"] == [{"role": "engineer", "team": world.team.slug}]
    issued = token_of(world, answer.json()["id"])
    assert issued.status_code == 201
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.json()['token']}")
    assert client.get("/api/v1/me/").status_code == 200
    assert client.get("/api/v1/budgets/").status_code == 200
    body = {"scope": "TEAM", "scope_id": str(world.team.id), "amount": "5", "period_start": "2030-01-01T00:00:00Z", "period_end": "2030-02-01T00:00:00Z"}  # fmt: skip  # noqa: E501
    assert client.post("/api/v1/budgets/", body, format="json").status_code == 403
    entry = AuditLog.objects.latest("timestamp")
    assert (entry.actor_kind, entry.result, str(entry.user_id)) == ("SERVICE", "DENIED", answer.json()["id"])


def test_nobody_signs_in_to_one_by_whatever_way(world):
    service = User.objects.get(pk=made(world).json()["id"])
    assert not service.has_usable_password()
    assert EmailBackend().get_user(service.pk) is None
    browser = Client()
    browser.force_login(service)
    assert browser.get("/account/").status_code == 302
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=service.pk).update(password="scrypt$anything")


def test_its_token_has_an_end_and_only_admins_issue_one(world):
    service = made(world).json()["id"]
    problem(token_of(world, service, expires_at=None), 422, "service_token_needs_end")
    body = {"name": "t", "expires_at": (timezone.now() + timedelta(days=3)).isoformat()}
    problem(
        client_of(world.auditor).post(f"{LIST}{service}/tokens/", body, format="json"), 403, "may_not_manage_people"
    )
    problem(client_of(world.engineer).post(f"{LIST}{service}/tokens/", body, format="json"), 404, "not_found")


@pytest.mark.parametrize("role", ["admin", "team_lead", "contractor"])
def test_it_is_never_somebody_who_oversees_others(world, role):
    assert made(world, role=role).status_code == 400
    service = User.objects.get(pk=made(world).json()["id"])
    team = None if role == "admin" else world.team
    end = timezone.now() + timedelta(days=3)
    with pytest.raises(services.RoleNotOfServices):
        services.grant_role(
            actor=actor(world.admin), user=service, role=role, team=team, now=timezone.now(), credentials_expire_at=end
        )


def test_a_name_is_given_once_and_in_another_organization_again(world):
    assert made(world).status_code == 201
    problem(made(world, name="CI-runner"), 409, "service_name_taken")
    assert made(worlds.build()).status_code == 201
    foreign = client_of(worlds.build().admin).get(
        f"{LIST}{User.objects.get(full_name='ci-runner', organization=world.organization).pk}/"
    )
    problem(foreign, 404, "not_found")


def test_a_number_is_no_name(world):
    problem(made(world, name=0), 400, "invalid")
    problem(made(world, team=7), 400, "invalid")
    assert not User.objects.filter(full_name="0").exists()


def test_one_that_is_switched_off_or_past_its_end_works_no_more(world):
    service = made(world).json()["id"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(world, service).json()['token']}")
    services.set_active(actor=actor(world.admin), user=User.objects.get(pk=service), is_active=False)
    problem(client.get("/api/v1/me/"), 401, "token_expired")


def test_the_list_is_by_name(world):
    for name in ("b", "c", "a"):
        assert made(world, name=name).status_code == 201
    rows = client_of(world.auditor).get(LIST).json()["results"]
    assert [row["name"] for row in rows] == ["a", "b", "c"]
