"""A mark of a budget, told to people by mail and to webhooks: each once in a period."""

import json
from decimal import Decimal

import pytest

from audit.actors import Actor
from budgets import thresholds
from budgets.models import Budget
from forge.outbox.models import Mail, WebhookDelivery
from tests.budgets.support import MARCH, World
from tests.factories import MembershipFactory, TeamFactory, UserFactory
from tests.forge.outbox.webhooks.support import webhook

pytestmark = pytest.mark.django_db
JOB = Actor.job("check_budgets")


@pytest.fixture
def world():
    return World()


def fire(budget):
    return thresholds.fire(budget_id=budget.id, actor=JOB, now=MARCH)


def test_each_mark_of_a_period_is_one_delivery_to_each_webhook_whoever_is_told_by_mail(world):
    there = {"organization_id": world.organization.id}
    everything = webhook(**there, name="all")
    team = webhook(**there, name="team", kinds=["budget.mark"], team_id=world.team.id)
    webhook(**there, name="machines", kinds=["workspace.ready"])
    for role in ("finance", "finance"):
        world.person(role)
    budget = world.budget("TEAM", amount=10, spent=Decimal(8))
    fire(budget)
    fire(budget)
    Budget.objects.filter(pk=budget.pk).update(spent=Decimal(10))
    fire(budget)
    fire(budget)
    told = [json.loads(one.body) for one in WebhookDelivery.objects.filter(webhook=everything).order_by("id")]
    assert [(one["type"], one["data"]["fraction"], one["data"]["spent"]) for one in told] == [
        ("budget.mark", "0.80", "8.000000"),
        ("budget.mark", "1.00", "10.000000"),
    ]
    assert told[0]["data"]["about"] == {"type": "Budget", "id": str(budget.id)}
    assert list(WebhookDelivery.objects.filter(webhook=team).order_by("id").values_list("event_id", flat=True)) == list(
        WebhookDelivery.objects.filter(webhook=everything).order_by("id").values_list("event_id", flat=True)
    )
    assert WebhookDelivery.objects.count() == 4
    assert Mail.objects.count() > 2


def test_a_mark_of_a_persons_budget_is_told_to_owner_leads_of_the_persons_teams_and_finance(world):
    person, lead, finance = (world.person(role) for role in ("engineer", "team_lead", "finance"))
    other = TeamFactory(organization=world.organization)
    second, stranger = (UserFactory(organization=world.organization) for _ in range(2))
    MembershipFactory(user=person, team=other)
    MembershipFactory(user=second, team=other, role="team_lead")
    MembershipFactory(user=stranger, team=TeamFactory(organization=world.organization), role="team_lead")
    World().person("team_lead")
    world.person("admin")
    fire(world.budget("USER", amount=10, spent=Decimal(8), user=person, owner=person))
    assert set(Mail.objects.values_list("recipient_id", flat=True)) == {person.id, lead.id, second.id, finance.id}


def test_nothing_in_a_delivery_names_a_person(world):
    webhook(organization_id=world.organization.id)
    people = [world.person("finance"), world.person("team_lead")]
    fire(world.budget("TEAM", amount=10, spent=Decimal(10), owner=people[0]))
    bodies = "".join(WebhookDelivery.objects.values_list("body", flat=True))
    assert bodies
    for person in people:
        assert person.email not in bodies
        assert person.full_name not in bodies


def test_a_mark_of_which_nobody_is_owed_a_mail_is_told_to_webhooks(world):
    hook = webhook(organization_id=world.organization.id)
    webhook(organization_id=world.organization.id, team_id=TeamFactory(organization=world.organization).id)
    fire(world.budget("TEAM", amount=10, spent=Decimal(8)))
    assert not Mail.objects.exists()
    told = WebhookDelivery.objects.get()
    assert (told.webhook, told.kind) == (hook, "budget.mark")
    assert json.loads(told.body)["data"]["fraction"] == "0.80"
