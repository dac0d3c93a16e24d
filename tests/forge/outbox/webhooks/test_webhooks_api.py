"""Webhooks as people manage them: who may what, a secret that is shown once, a ping, and sending again by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from rest_framework.test import APIClient

from audit.models import AuditLog
from forge.db.ids import uuid7
from forge.outbox.models import Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks import keeping, services
from tests import world as worlds
from tests.audit.walk import rows
from tests.forge.outbox.webhooks.support import webhook

pytestmark = pytest.mark.django_db
LIST = "/api/v1/webhooks/"
NEW = {"name": "Finance", "url": "https://hooks.example.com/in?key=1"}


@pytest.fixture(autouse=True)
def letters(settings):
    """The kinds of the installation, not those of these tests."""
    settings.FORGE_MAIL_KINDS = {"budget.mark": "budgets.notices.mark", "workspace.ready": "workspaces.letters.ready"}


@pytest.fixture
def world():
    return worlds.build()


def of(user):
    made = APIClient()
    made.force_authenticate(user)
    return made


def make(user, status=201, **facts):
    answer = of(user).post(LIST, NEW | facts, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_its_secret_is_shown_once_and_kept_encrypted(world):
    made = make(world.admin)
    assert made["secret"].startswith("whsec_")
    row = Webhook.objects.get(pk=made["id"])
    [secret] = keeping.open_all(row, at=datetime.now(UTC))
    assert services.signing.text_of(secret) == made["secret"]
    assert secret not in bytes(row.secret)
    assert "secret" not in of(world.admin).get(f"{LIST}{row.pk}/").data
    entry = AuditLog.objects.get(action_type="WEBHOOK_CREATE")
    assert entry.changes["after"]["origin"] == "https://hooks.example.com:443"
    assert "key=1" not in f"{entry.changes}{entry.content}"
    answer = of(world.admin).post(LIST, NEW, format="json", headers={"Idempotency-Key": "k"})
    assert answer.json()["code"] == "idempotency_key_not_taken"


def test_a_new_secret_leaves_the_former_valid_for_a_while(world):
    made = make(world.admin)
    path = f"{LIST}{made['id']}/rotate/"
    second = of(world.admin).post(path, {"keep_hours": 2}, format="json").data
    row = Webhook.objects.get(pk=made["id"])
    now = datetime.now(UTC)

    def valid(at):
        return [services.signing.text_of(one) for one in keeping.open_all(row, at=at)]

    assert valid(now) == [second["secret"], made["secret"]]
    assert valid(now + timedelta(hours=3)) == [second["secret"]]
    third = of(world.admin).post(path, {"keep_hours": 0}, format="json").data
    row.refresh_from_db()
    assert (valid(now), row.former_secret_until) == ([third["secret"]], None)


def test_admins_have_any_finance_those_about_money_and_leads_those_of_their_team(world):
    team = str(world.team.id)
    make(world.admin, name="all")
    money = make(world.finance, name="money", kinds=["budget.mark"])
    make(world.lead, name="team", team_id=team)
    for user, facts in (
        (world.finance, {}),
        (world.finance, {"kinds": ["budget.mark", "workspace.ready"]}),
        (world.lead, {}),
        (world.lead, {"kinds": ["budget.mark"]}),
        (world.lead, {"team_id": str(uuid7())}),
        (world.admin, {"team_id": str(uuid7())}),
        (world.engineer, {}),
        (world.auditor, {}),
    ):
        assert make(user, 403, **facts)["code"] == "may_not_manage_webhook"
    seen = {
        role: {row["name"] for row in of(getattr(world, role)).get(LIST).data["results"]}
        for role in ("admin", "auditor", "finance", "lead", "engineer")
    }
    everything = {"all", "money", "team"}
    assert seen == {
        "admin": everything, "auditor": everything, "finance": {"money"}, "lead": {"team"}, "engineer": set(),
    }  # fmt: skip
    widened = of(world.finance).patch(f"{LIST}{money['id']}/", {"kinds": []}, format="json")
    assert widened.status_code == 403
    assert Webhook.objects.get(pk=money["id"]).kinds == ["budget.mark"]
    assert make(worlds.build().admin, name="elsewhere")["name"] not in seen["admin"]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"url": "http://hooks.example.com/"}, "webhook_address_refused"),
        ({"url": "https://169.254.169.254/latest/"}, "webhook_address_refused"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "webhook_address_refused"),
        ({"kinds": ["no.such"]}, "unknown_webhook_kind"),
    ],
)
def test_what_could_never_be_delivered_is_refused(world, facts, code):
    assert make(world.admin, 422, **facts)["code"] == code
    assert not Webhook.objects.exists()


def test_there_are_only_so_many(world, monkeypatch):
    monkeypatch.setattr(services, "MOST_WEBHOOKS", 1)
    made = make(world.admin)
    assert make(world.admin, 422)["code"] == "too_many_webhooks"
    assert of(world.admin).delete(f"{LIST}{made['id']}/").status_code == 204
    make(world.admin)


def test_one_that_is_removed_is_gone_with_its_address_and_secrets(world):
    made = make(world.admin)
    of(world.admin).post(f"{LIST}{made['id']}/rotate/", {}, format="json")
    of(world.admin).delete(f"{LIST}{made['id']}/")
    row = Webhook.objects.get(pk=made["id"])
    assert (row.state, row.url, bytes(row.secret), bytes(row.former_secret)) == ("REMOVED", "", b"", b"")
    assert of(world.admin).get(f"{LIST}{made['id']}/").status_code == 404
    with pytest.raises(services.WebhookRemoved):
        services.ping(actor=worlds.actor(world.admin), webhook_id=row.pk, now=datetime.now(UTC))


def test_switched_on_again_its_failures_are_forgotten(world):
    now = datetime.now(UTC)
    failed = {"state": "FAILED", "failures": 9, "failing_since": now, "rests_until": now}
    row = webhook(organization_id=world.organization.id, **failed)
    answer = of(world.admin).patch(f"{LIST}{row.pk}/", {"is_on": True}, format="json")
    shown = {name: answer.data[name] for name in ("state", "failures", "failing_since", "rests_until")}
    assert shown == {"state": "ON", "failures": 0, "failing_since": None, "rests_until": None}


def test_a_ping_is_due_at_once_also_to_one_that_rests_or_is_off(world):
    now = datetime.now(UTC)
    row = webhook(organization_id=world.organization.id, state="OFF", rests_until=now + timedelta(hours=1))
    answer = of(world.admin).post(f"{LIST}{row.pk}/ping/")
    assert answer.status_code == 202
    delivery = WebhookDelivery.objects.get()
    assert answer.headers["Location"] == f"/api/v1/webhook-deliveries/{delivery.pk}/"
    assert (delivery.kind, delivery.state) == ("webhook.ping", "DUE")
    row.refresh_from_db()
    assert row.rests_until is None


def test_a_delivery_shows_each_try_and_is_sent_again_under_its_id(world):
    delivery = rows.webhook_delivery(world)
    now = datetime.now(UTC)
    for number in (1, 2):
        WebhookAttempt.objects.create(
            organization_id=world.organization.id, delivery=delivery, number=number, began_at=now, milliseconds=5,
            status_code=500, error="It answered 500.", excerpt="out of order",
        )  # fmt: skip
    ended = {"state": "GIVEN_UP", "due_at": None, "attempts": 2, "last_error": "It answered 500."}
    WebhookDelivery.objects.filter(pk=delivery.pk).update(**ended, tried_until=now)
    path = f"/api/v1/webhook-deliveries/{delivery.pk}/"
    listed = of(world.finance).get("/api/v1/webhook-deliveries/?kind=webhook.ping").data["results"]
    assert [one["id"] for one in listed] == [str(delivery.pk)]
    assert of(world.finance).get("/api/v1/webhook-deliveries/?kind=budget.mark").data["results"] == []
    shown = of(world.finance).get(path).data
    assert [(one["number"], one["status_code"], one["excerpt"]) for one in shown["tries"]] == [
        (1, 500, "out of order"),
        (2, 500, "out of order"),
    ]
    assert str(delivery.event_id) in shown["body"]
    assert of(world.finance).post(f"{path}redeliver/").status_code == 202
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.earlier_attempts) == ("DUE", 2, 2)
    assert delivery.tried_until > now + timedelta(hours=23)
    assert str(delivery.event_id) == shown["event_id"]


def test_the_console_shows_them_and_a_lead_only_those_of_the_team(world, client, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("whitenoise")]
    delivery = rows.webhook_delivery(world)
    WebhookAttempt.objects.create(
        organization_id=world.organization.id, delivery=delivery, number=1, began_at=datetime.now(UTC),
        milliseconds=5, status_code=500, excerpt="out of order",
    )  # fmt: skip
    client.force_login(world.admin)
    page = client.get(f"/admin/outbox/webhookdelivery/{delivery.pk}/change/").content.decode()
    assert "out of order" in page
    assert "Send again" in page
    page = client.get(f"/admin/outbox/webhook/{delivery.webhook_id}/change/").content.decode()
    assert world.admin.email in page
    assert "New secret" in page
    listed = client.get("/admin/outbox/webhook/").content.decode()
    assert "https://hooks.example.com/in" in listed
    assert client.get("/admin/outbox/webhookdelivery/").status_code == 200
    client.force_login(world.lead)
    assert "hooks.example.com" not in client.get("/admin/outbox/webhook/").content.decode()
    assert "Team" in client.get("/admin/outbox/webhook/add/").content.decode()
