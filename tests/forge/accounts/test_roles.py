"""Roles of people who are there: their end, the last admin, and twins."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts import services
from forge.accounts.models import Membership
from tests import factories
from tests import world as worlds
from tests.forge.db.conftest import at_once
from tests.workspaces.support import client_of, problem
from tests.world import actor

pytestmark = pytest.mark.django_db
MEMBERS = "/api/v1/members/"
SOON = timedelta(days=9)


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def body(world, person, **changes):
    return {
        "email": person.email,
        "full_name": person.full_name,
        "role": "contractor",
        "team": world.team.slug,
    } | changes


def post(who, data):
    return client_of(who).post(MEMBERS, data, format="json")


@pytest.mark.parametrize("who", ["admin", "lead"])
def test_an_engineer_becomes_contractor_with_the_end_that_is_given(world, who):
    end = (timezone.now() + SOON).replace(microsecond=0)
    answer = post(getattr(world, who), body(world, world.engineer, credentials_expire_at=end.isoformat()))
    assert answer.status_code == 201, answer.content
    assert answer.json()["credentials_expire_at"] == end.isoformat().replace("+00:00", "Z")
    world.engineer.refresh_from_db()
    assert world.engineer.credentials_expire_at == end
    entry = AuditLog.objects.get(action_type="ROLE_CHANGE")
    assert entry.changes["before"]["credentials_expire_at"] is None
    assert entry.changes["after"]["credentials_expire_at"] == end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("who", ["admin", "lead"])
@pytest.mark.parametrize("days", [-3, 3])
def test_a_contract_is_extended_whether_it_has_ended_or_not(world, who, days):
    world.contractor.credentials_expire_at = timezone.now() + timedelta(days=days)
    world.contractor.save()
    end = timezone.now() + timedelta(days=90)
    answer = post(getattr(world, who), body(world, world.contractor, credentials_expire_at=end.isoformat()))
    assert answer.status_code == 201, answer.content
    world.contractor.refresh_from_db()
    assert world.contractor.credentials_expire_at == end


def test_without_a_new_end_the_present_one_stays_and_must_be_to_come(world):
    assert post(world.admin, body(world, world.contractor, role="engineer")).status_code == 201
    end = world.contractor.credentials_expire_at
    world.contractor.refresh_from_db()
    assert world.contractor.credentials_expire_at == end
    problem(post(world.admin, body(world, world.engineer)), 422, "contractor_needs_end")
    past = (timezone.now() - SOON).isoformat()
    problem(post(world.admin, body(world, world.engineer, credentials_expire_at=past)), 422, "credentials_end_in_past")
    world.engineer.refresh_from_db()
    assert world.engineer.credentials_expire_at is None


def test_a_lead_sets_no_end_for_people_of_other_teams(world):
    person = factories.MembershipFactory(user__organization=world.organization).user
    end = (timezone.now() + SOON).isoformat()
    problem(post(world.lead, body(world, person, credentials_expire_at=end)), 403, "may_not_manage_people")
    assert post(world.admin, body(world, person, credentials_expire_at=end)).status_code == 201


@pytest.mark.parametrize("field", ["directory_username", "location"])
def test_what_a_role_cannot_change_is_refused_and_not_dropped(world, field):
    answer = post(world.admin, body(world, world.engineer, role="team_lead", **{field: "another"}))
    assert problem(answer, 422, "person_is_there")["fields"] == [field]
    same = {"directory_username": world.engineer.directory_username}
    assert post(world.admin, body(world, world.engineer, role="team_lead", **same)).status_code == 201


def test_the_console_extends_a_contract_too(world):
    browser = Client()
    browser.force_login(world.admin)
    end = (timezone.now() + SOON).replace(microsecond=0)
    form = {
        "email": world.contractor.email, "role": "contractor", "team": str(world.team.pk),
        "credentials_expire_at_0": f"{end:%Y-%m-%d}", "credentials_expire_at_1": f"{end:%H:%M:%S}",
    }  # fmt: skip
    answer = browser.post("/admin/accounts/membership/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    world.contractor.refresh_from_db()
    assert world.contractor.credentials_expire_at == end


# -- the last admin ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("facts", [{"is_active": False}, {"credentials_expire_at": timezone.now() - SOON}])
def test_an_admin_who_cannot_sign_in_does_not_count(world, facts):
    second = factories.MembershipFactory(user__organization=world.organization, role="admin", team=None).user
    own = Membership.objects.get(user=world.admin)
    type(second).objects.filter(pk=second.pk).update(**facts)
    with pytest.raises(services.LastAdmin):
        services.revoke_role(actor=actor(world.admin), membership=own)
    with pytest.raises(services.LastAdmin):
        services.set_active(actor=actor(world.admin), user=world.admin, is_active=False)


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_remove_each_other_at_once_leave_one(world):
    second = factories.MembershipFactory(user__organization=world.organization, role="admin", team=None).user
    pair, start, refused = (world.admin, second), threading.Barrier(2), []

    def remove(number):
        other = Membership.objects.select_related("organization", "team").get(user=pair[1 - number])
        acting = actor(type(second).objects.select_related("organization").get(pk=pair[number].pk))
        start.wait()
        try:
            services.revoke_role(actor=acting, membership=other)
        except services.LastAdmin:
            refused.append(number)

    at_once(2, remove)
    assert len(refused) == 1
    assert Membership.objects.filter(organization=world.organization, role="admin").count() == 1


@pytest.mark.parametrize("change", ["grant", "revoke", "switch"])
def test_every_change_of_an_admin_locks_the_person_and_then_the_organization(world, change):
    factories.MembershipFactory(user__organization=world.organization, role="admin", team=None)
    acting, own = actor(world.admin), Membership.objects.get(user=world.admin)
    changes = {
        "grant": lambda: services.grant_role(actor=acting, user=world.admin, role="auditor", now=timezone.now()),
        "revoke": lambda: services.revoke_role(actor=acting, membership=own),
        "switch": lambda: services.set_active(actor=acting, user=world.admin, is_active=False),
    }
    with CaptureQueriesContext(connection) as queries:
        changes[change]()
    locks = [query["sql"].split('FROM "')[1].split('"')[0] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert locks == ["accounts_user", "accounts_organization"]
