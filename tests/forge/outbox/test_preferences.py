"""Which mail people get: a kind that is switched off is not sent, what warns of a loss always is, webhooks hear all."""

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from audit.models import AuditLog
from forge import settings as written
from forge.db.ids import uuid7
from forge.outbox import preferences, sending
from forge.outbox.models import Mail, NotificationPreference, WebhookDelivery
from tests.factories import MembershipFactory, UserFactory
from tests.forge.outbox.support import KIND, KINDS, NOW, owed, write
from tests.forge.outbox.webhooks.support import webhook
from tests.world import actor

pytestmark = pytest.mark.django_db
PATH = "/api/v1/me/notifications/"
LOSS = "test.loss"


@pytest.fixture(autouse=True)
def kinds(settings):
    settings.FORGE_MAIL_KINDS = KINDS | {LOSS: KINDS[KIND]}
    settings.FORGE_MAIL_ALWAYS = [LOSS]


@pytest.fixture
def user():
    return MembershipFactory(role="engineer").user


def client(user):
    made = APIClient()
    made.force_authenticate(user)
    return made


def choose(user, status=200, **choices):
    body = {"notifications": [{"kind": kind.replace("_", "."), "mail": mail} for kind, mail in choices.items()]}
    answer = client(user).patch(PATH, body, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_what_is_switched_off_is_not_sent_but_delivered_to_webhooks_all_the_same(mailoutbox, user):
    webhook()
    preferences.choose(actor=actor(user), wanted={KIND: False}, now=NOW)
    mine, loss, others = owed(recipient_id=user.id), owed(recipient_id=user.id, kind=LOSS), owed()
    write(mine, loss, others)
    assert sending.send(now=NOW) == {"sent": 2, "failed": 0, "given_up": 0, "withdrawn": 1}
    assert Mail.objects.get(state="WITHDRAWN").dedupe_key == mine.dedupe_key
    assert "switched off mail of this kind" in Mail.objects.get(state="WITHDRAWN").withdrawn_because
    assert WebhookDelivery.objects.count() == 3


def test_choices_are_shown_and_kept_for_each_person_alone(user):
    shown = [
        {"kind": KIND, "mail": True, "is_always_told": False},
        {"kind": LOSS, "mail": True, "is_always_told": True},
    ]
    assert client(user).get(PATH).json() == {"notifications": shown}
    for mail in (False, True, False):
        shown[0]["mail"] = mail
        assert choose(user, test_letter=mail) == {"notifications": shown}
    assert NotificationPreference.objects.count() == 1
    entry = AuditLog.objects.filter(action_type="NOTIFICATIONS_CHOOSE").latest("id")
    assert entry.changes == {"before": {KIND: True}, "after": {KIND: False}}
    operator = UserFactory(organization=None, directory_username="")
    assert preferences.chosen(operator.id) == {KIND: True, LOSS: True}
    choose(operator, test_letter=False)
    assert preferences.chosen(operator.id) == {KIND: False, LOSS: True}


def test_what_warns_of_a_loss_and_what_nobody_words_cannot_be_chosen(user):
    assert choose(user, 422, test_letter=False, test_loss=False)["code"] == "always_told"
    assert choose(user, 422, no_such=False)["code"] == "unknown_mail_kind"
    assert client(user).patch(PATH, {"notifications": []}, format="json").status_code == 400
    assert not NotificationPreference.objects.exists()
    NotificationPreference.objects.create(user_id=user.id, kind=LOSS, is_on=False)  # from before it was such
    assert preferences.is_wanted(user.id, LOSS)
    assert preferences.chosen(user.id)[LOSS]


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_an_address_without_a_host_is_told_with_that_of_the_installation(mailoutbox, settings):
    settings.FORGE_BASE_URL = "https://forge.example.com/"
    write(owed())
    sending.send(now=NOW)
    (message,) = mailoutbox
    assert message.body.splitlines()[-1].endswith(" https://forge.example.com/api/v1/me/notifications/")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_every_mail_says_where_to_choose_and_whether_one_can(mailoutbox, settings):
    settings.FORGE_NOTIFICATIONS_URL = "https://portal.example.com/notifications"
    write(owed(), owed(kind=LOSS))
    sending.send(now=NOW)
    plain = {message.body.splitlines()[-1] for message in mailoutbox}
    said = "your choice: https://portal.example.com/notifications"
    assert plain == {
        f"Which mail you get is {said}",
        f"Mail of this kind is always sent. Which other mail you get is {said}",
    }
    for message in mailoutbox:
        assert '<a href="https://portal.example.com/notifications"' in message.alternatives[0].content


@pytest.mark.parametrize("fields", [{"channel": "PIGEON"}, {"kind": ""}, {"user_id": None}])
def test_postgresql_refuses_what_is_no_choice(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        NotificationPreference.objects.create(**{"user_id": uuid7(), "kind": KIND, "is_on": False, **fields})


def test_what_is_always_told_are_kinds_that_are_worded():
    assert set(written.FORGE_MAIL_ALWAYS) < written.FORGE_MAIL_KINDS.keys()
