"""What a team lead may do to people, and where it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from forge.accounts import services, token_services
from forge.accounts.models import Membership, User
from tests import factories
from tests import world as worlds
from tests.workspaces.support import client_of, entries, problem
from tests.world import actor

pytestmark = pytest.mark.django_db
API = "/api/v1/"
OVERSEERS = ["admin", "auditor", "finance", "other_lead"]


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def overseer(world):
    def find(role: str) -> User:
        if role != "other_lead":
            return getattr(world, role)
        person = factories.UserFactory(organization=world.organization)
        factories.MembershipFactory(user=person, organization=world.organization, role="team_lead")
        return person

    return find


def in_team(world, person):
    return factories.MembershipFactory(user=person, organization=world.organization, team=world.team, role="engineer")


@pytest.mark.parametrize("role", OVERSEERS)
def test_a_lead_adds_nobody_who_oversees_others(world, overseer, role):
    person, lead = overseer(role), client_of(world.lead)
    body = {"email": person.email, "full_name": "X", "role": "engineer", "team": world.team.slug}
    problem(lead.post(f"{API}members/", body, format="json"), 403, "may_not_manage_people")
    assert not Membership.objects.filter(user=person, team=world.team).exists()
    assert [entry.result for entry in entries(lead)] == ["DENIED"]
    assert client_of(world.admin).post(f"{API}members/", body, format="json").status_code == 201


def test_a_lead_adds_an_engineer_of_another_team(world):
    person = factories.MembershipFactory(user__organization=world.organization).user
    body = {"email": person.email, "full_name": "X", "role": "engineer", "team": world.team.slug}
    assert client_of(world.lead).post(f"{API}members/", body, format="json").status_code == 201


@pytest.mark.parametrize("role", OVERSEERS)
def test_a_lead_has_no_power_over_an_overseer_who_is_engineer_of_the_team(world, overseer, role):
    person = overseer(role)
    in_team(world, person)
    token, lead = client_of(person), client_of(world.lead)
    token.post(f"{API}teams/", {"slug": "red"}, format="json")
    listed = lead.get(f"{API}tokens/").json()["results"]
    assert [row["id"] for row in listed] == [str(lead.token.pk)]
    problem(lead.post(f"{API}tokens/{token.token.pk}/revoke/"), 404, "not_found")
    assert not token_services.may_revoke(world.lead, token.token)
    assert entries(token).exists()
    assert not lead.get(f"{API}audit/?user_id={person.pk}").json()["results"]


def test_a_lead_sees_and_revokes_tokens_of_contractors_and_engineers_of_the_own_team_alone(world):
    elsewhere = factories.MembershipFactory(user__organization=world.organization).user
    lead, theirs, ours = client_of(world.lead), client_of(elsewhere), client_of(world.engineer)
    listed = {row["id"] for row in lead.get(f"{API}tokens/").json()["results"]}
    assert listed == {str(lead.token.pk), str(ours.token.pk)}
    assert set(world.lead.managed_user_ids()) == {world.engineer.pk, world.contractor.pk}
    assert token_services.may_revoke(world.lead, ours.token)
    assert not token_services.may_revoke(world.lead, theirs.token)
    for refused in (theirs.token, client_of(world.admin).token):
        with pytest.raises(services.MayNotManagePeople):
            token_services.revoke_token(actor=actor(world.lead), token=refused, now=timezone.now())


def test_nobody_revokes_tokens_across_organizations(world):
    foreign = worlds.build()
    token = client_of(foreign.engineer).token
    for person in (world.admin, world.lead):
        assert not token_services.may_revoke(person, token)
    assert token_services.may_revoke(foreign.admin, token)


def test_a_lead_changes_no_role_above_the_own(world):
    second = factories.MembershipFactory(user__organization=world.organization, team=world.team, role="team_lead").user
    with pytest.raises(services.MayNotManagePeople):
        services.grant_role(actor=actor(world.lead), user=second, role="engineer", team=world.team, now=timezone.now())
    assert Membership.objects.get(user=second).role == "team_lead"
