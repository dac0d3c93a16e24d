"""What happens is told to each webhook that hears of it, once, with the transaction in which it happened."""

import json

import pytest
from django.db import IntegrityError, transaction

from forge.db.ids import uuid7
from forge.outbox.models import Webhook, WebhookDelivery
from forge.outbox.services import owe
from forge.outbox.webhooks.announcing import announce
from tests.forge.outbox.support import KIND, NOW, ORGANIZATION, owed
from tests.forge.outbox.webhooks.support import event, tell, webhook

pytestmark = pytest.mark.django_db


def test_each_webhook_hears_of_its_kinds_its_team_and_its_organization_alone():
    team = uuid7()
    webhook(name="all")
    webhook(name="kind", kinds=[KIND, "other.kind"])
    webhook(name="team", team_id=team)
    webhook(name="another kind", kinds=["other.kind"])
    webhook(name="another team", team_id=uuid7())
    webhook(name="off", state=Webhook.State.OFF)
    webhook(name="failed", state=Webhook.State.FAILED)
    webhook(name="elsewhere", organization_id=uuid7())
    first, second = event(team_id=team), event()
    rows = tell(first, second)
    told = {(row.webhook.name, json.loads(row.body)["data"]["about"]["id"]) for row in rows}
    assert told == {(name, str(first.target_id)) for name in ("all", "kind", "team")} | {
        (name, str(second.target_id)) for name in ("all", "kind")
    }
    assert len(rows) == 5
    assert len({row.event_id for row in rows}) == 2  # one id per thing that happened, whoever hears of it


def test_the_body_says_what_when_and_where():
    webhook()
    told = event()
    [row] = tell(told)
    assert json.loads(row.body) == {
        "type": KIND,
        "id": str(row.event_id),
        "occurred_at": "2026-11-21T12:00:00Z",
        "organization": str(ORGANIZATION),
        "data": {"about": {"type": "Thing", "id": str(told.target_id)}, "n": "1.50"},
    }


def test_what_several_people_are_told_by_mail_is_delivered_once_whoever_writes_it_again():
    webhook()
    facts = {"once": "a fact", "target_id": uuid7()}
    for _ in range(2):
        owe([owed(**facts), owed(**facts), owed(**facts)], now=NOW)
    owe([owed(once="another fact")], now=NOW)
    assert sorted(WebhookDelivery.objects.values_list("dedupe_key", flat=True)) == [
        f"{KIND}:a fact",
        f"{KIND}:another fact",
    ]


def test_it_is_gone_with_the_transaction_of_what_it_tells():
    webhook()
    with transaction.atomic():
        announce([event()], now=NOW)
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (WebhookDelivery, {"state": "DUE", "due_at": None}),
        (WebhookDelivery, {"state": "DELIVERED", "due_at": None}),
        (WebhookDelivery, {"state": "GIVEN_UP", "due_at": None}),
        (WebhookDelivery, {"state": "LOST", "due_at": None, "last_error": "x"}),
        (Webhook, {"state": "REMOVED"}),
        (Webhook, {"url": ""}),
        (Webhook, {"secret": b""}),
        (Webhook, {"former_secret": b"x"}),
        (Webhook, {"failures": 1}),
    ],
)
def test_postgresql_refuses_a_state_without_its_facts(model, fields):
    webhook()
    tell()
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**fields)
