"""What is due is delivered: none is lost, twins carry one id, and no receiver keeps another waiting."""

import json
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from audit.models import AuditLog
from forge.outbox import sending, tasks
from forge.outbox.models import Mail, Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks import calling, delivering, keeping, purging
from forge.outbox.webhooks.calling import Answer
from forge.outbox.webhooks.letters import switched_off
from tests.forge.db.conftest import at_once
from tests.forge.outbox.support import NOW
from tests.forge.outbox.webhooks.receiver import LOOPBACK, Receiver, status
from tests.forge.outbox.webhooks.support import SECRET, event, tell, verified, webhook

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

NONE = {"delivered": 0, "failed": 0, "given_up": 0, "withdrawn": 0, "switched_off": 0}
State = WebhookDelivery.State
LATER = NOW + delivering.LEASE + timedelta(minutes=1)
DAY = timedelta(days=1)


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def local(settings):
    settings.FORGE_WEBHOOK_HTTP, settings.FORGE_WEBHOOK_NETWORKS = True, [LOOPBACK]


class Calls:
    """Takes the place of calling.post: answers `status` and remembers what it was given."""

    def __init__(self, status=200):
        self.status, self.seen, self.addresses = status, [], []

    def __call__(self, url, *, headers, body):
        assert not connection.in_atomic_block
        self.seen.append(headers["webhook-id"])
        self.addresses.append(url)
        status = self.status(url) if callable(self.status) else self.status
        return Answer(status, "said", "" if status == 200 else f"It answered {status}.", 7)


@pytest.fixture
def calls(monkeypatch):
    made = Calls()
    monkeypatch.setattr(calling, "post", made)
    return made


def test_what_happens_arrives_signed_once_and_the_log_says_so():
    with Receiver() as receiver:
        webhook(url=receiver.url)
        [delivery] = tell()
        now = datetime.now(UTC)
        assert delivering.send(now=now) == NONE | {"delivered": 1}
        assert delivering.send(now=now + DAY) == NONE
    [taken] = receiver.taken
    assert verified(taken) == json.loads(delivery.body)
    assert taken.headers["webhook-id"] == str(delivery.event_id) == verified(taken)["id"]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.due_at, delivery.attempts) == (State.DELIVERED, None, 1)
    attempt = WebhookAttempt.objects.get()
    assert (attempt.number, attempt.status_code, attempt.excerpt, attempt.error) == (1, 200, "ok", "")


def test_during_a_change_of_secrets_both_verify_and_then_only_the_new_one():
    new = b"n" * 32
    now = datetime.now(UTC)
    with Receiver() as receiver:
        secrets = {"secret": keeping.close(new), "former_secret": keeping.close(SECRET)}
        made = webhook(url=receiver.url, **secrets, former_secret_until=now + timedelta(hours=1))
        tell()
        delivering.send(now=now)
        Webhook.objects.filter(pk=made.pk).update(former_secret_until=now)
        tell(event())
        delivering.send(now=now)
    first, second = receiver.taken
    for secret in (new, SECRET):
        assert verified(first, secret)
    assert verified(second, new)
    assert len(second.headers["webhook-signature"].split()) == 1


def test_a_sender_killed_at_any_line_loses_nothing_and_its_twins_carry_one_id(calls):
    """At the first line of the run, at the second, and so on to its last; each time another sender finishes."""
    webhook()
    lines = 0
    while True:
        WebhookAttempt.objects.all().delete()
        WebhookDelivery.objects.all().delete()
        [delivery] = tell()
        calls.seen.clear()
        survived = not _killed_at(lines, lambda: delivering.send(now=NOW))
        delivering.send(now=LATER)
        delivery.refresh_from_db()
        assert delivery.state == State.DELIVERED, lines
        assert set(calls.seen) == {str(delivery.event_id)}, lines
        assert 1 <= len(calls.seen) <= 2, lines
        if survived:
            break
        lines += 1
    assert lines > 30


def _killed_at(line, work):
    """Run it in a process of its own, as far as the database sees, until so many lines of the sender have begun.

    True when that killed it: then nothing of it cleans up, and its connection is gone with whatever was open on it.
    """
    killed = []

    def run():
        left = line

        def trace(frame, kind, argument):
            nonlocal left
            if kind == "line":
                if left == 0:
                    sys.settrace(None)
                    raise Killed
                left -= 1
            return trace

        sys.settrace(lambda frame, kind, arg: trace if frame.f_code.co_filename == delivering.__file__ else None)
        try:
            work()
        except Killed:
            killed.append(line)
        finally:
            sys.settrace(None)
            if connection.connection is not None:
                connection.connection.rollback()  # the server does so when it sees the socket gone, a moment later
                connection.connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return bool(killed)


def test_many_senders_deliver_each_once(calls):
    webhook()
    tell(*(event() for _ in range(12)))
    counts = []
    at_once(4, lambda _: counts.append(delivering.send(now=NOW)["delivered"]))
    assert sum(counts) == 12
    assert len(set(calls.seen)) == len(calls.seen) == 12


def test_a_receiver_that_fails_keeps_no_other_waiting_and_rests(calls):
    bad, good = webhook(url="https://bad.example.com/"), webhook(url="https://good.example.com/")
    calls.status = lambda url: 500 if "bad" in url else 200
    tell(*(event() for _ in range(3)))
    assert delivering.send(now=NOW) == NONE | {"delivered": 3, "failed": 1}
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.failures, good.failures) == (1, 0)
    assert NOW < bad.rests_until <= NOW + 2 * delivering.FIRST_PAUSE
    calls.status = 200
    assert delivering.send(now=NOW + timedelta(minutes=2)) == NONE | {"delivered": 3}
    bad.refresh_from_db()
    assert (bad.failures, bad.failing_since, bad.rests_until) == (0, None, None)


def test_what_fails_is_tried_again_with_growing_pauses_for_a_day_then_given_up(calls, monkeypatch):
    monkeypatch.setattr(delivering, "JITTER", 0)
    calls.status = 503
    webhook()
    [delivery] = tell()
    now, pauses = NOW, []
    while delivering.send(now=now)["failed"]:
        delivery.refresh_from_db()
        pauses.append(round((delivery.due_at - now).total_seconds()))
        now = delivery.due_at
        Webhook.objects.update(rests_until=None)
    assert pauses == [30 * 2**n for n in range(9)] + [4 * 3600] * 4
    delivery.refresh_from_db()
    assert (delivery.state, delivery.due_at, delivery.last_error) == (State.GIVEN_UP, None, "It answered 503.")
    assert NOW + DAY - timedelta(hours=4) < now < NOW + DAY
    numbers = list(WebhookAttempt.objects.order_by("number").values_list("number", "status_code"))
    assert numbers == [(n, 503) for n in range(1, 15)]


def test_what_waited_long_for_a_sender_is_tried_all_the_same(calls):
    webhook()
    tell()
    assert delivering.send(now=NOW + 9 * DAY)["delivered"] == 1


def test_after_days_of_failure_it_is_switched_off_and_its_owner_is_told(calls, settings):
    settings.FORGE_MAIL_KINDS = settings.FORGE_MAIL_KINDS | {
        "webhook.switched_off": "forge.outbox.webhooks.letters.switched_off"
    }
    calls.status = 500
    made = webhook()
    tell()
    delivering.send(now=NOW)
    tell(event(), event())
    assert delivering.send(now=NOW + 2 * DAY)["switched_off"] == 0
    figures = delivering.send(now=NOW + 3 * DAY + timedelta(minutes=1))
    assert figures["switched_off"] == 1
    made.refresh_from_db()
    assert made.state == Webhook.State.FAILED
    mail = Mail.objects.get(kind="webhook.switched_off")
    assert (mail.recipient_id, mail.target_id) == (made.owner_id, made.id)
    entry = AuditLog.objects.get(action_type="WEBHOOK_SWITCH_OFF")
    assert (entry.actor_kind, entry.resource_id) == ("JOB", str(made.id))
    rest = delivering.send(now=NOW + 4 * DAY)
    assert rest["withdrawn"] > 0
    assert not WebhookDelivery.objects.filter(state=State.DUE).exists()
    assert not tell(event(once="after"))[-1].dedupe_key.endswith("after")
    letter = switched_off(mail, sending.reader_of(mail.recipient_id))
    assert ("Last answer", "500") in letter.rows


def test_a_receiver_that_is_gone_is_switched_off_at_once(calls):
    calls.status = 410
    made = webhook(owner_id=None)
    tell()
    assert delivering.send(now=NOW) == NONE | {"failed": 1, "switched_off": 1}
    made.refresh_from_db()
    assert made.state == Webhook.State.FAILED


def test_without_its_audit_entry_nothing_is_switched_off_and_the_try_is_made_again(calls, monkeypatch):
    calls.status = 410
    made = webhook(owner_id=None)
    tell()

    def fail(**kwargs):
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("forge.outbox.webhooks.switching.record", fail)
        with pytest.raises(ConnectionError):
            delivering.send(now=NOW)
    made.refresh_from_db()
    assert made.is_on
    assert delivering.send(now=LATER)["switched_off"] == 1


def test_a_slow_sender_that_failed_does_not_undo_what_another_has_done(calls):
    webhook()
    [delivery] = tell()

    def overtaken(url):
        WebhookDelivery.objects.update(attempts=2, due_at=LATER)
        return 500

    calls.status = overtaken
    delivering.send(now=NOW)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.due_at, delivery.last_error) == (State.DUE, LATER, "")


def test_a_secret_that_this_process_cannot_read_sends_nothing(calls, settings):
    webhook()
    [delivery] = tell()
    key, settings.SECRET_KEY = settings.SECRET_KEY, "another key of this installation, long enough to be one"
    assert delivering.send(now=NOW)["failed"] == 1
    delivery.refresh_from_db()
    assert "SECRET_KEY" in delivery.last_error
    assert not calls.seen
    settings.SECRET_KEY_FALLBACKS = [key]
    assert delivering.send(now=NOW + timedelta(hours=1))["delivered"] == 1


def test_a_receiver_over_real_sockets_that_refuses_redirects_or_hangs(monkeypatch):
    monkeypatch.setattr(calling, "READ_SECONDS", 0.2)
    answers = {
        "500": status("500 No", body=b"out of order"),
        "301": status("301 Elsewhere", "Location: http://169.254.169.254/"),
        "hangs": lambda connection: connection.recv(1),
    }
    for name, answer in answers.items():
        with Receiver(answer) as receiver:
            webhook(name=name, url=receiver.url)
            tell(event(once=name))
            delivering.send(now=NOW)
        Webhook.objects.update(state="OFF")
    said = {
        row.delivery.webhook.name: (row.status_code, row.error, row.excerpt)
        for row in WebhookAttempt.objects.select_related("delivery__webhook")
    }
    assert said["500"] == (500, "It answered 500.", "out of order")
    assert said["301"] == (301, "It answered 301; redirects are not followed.", "")
    assert said["hangs"][0] is None
    assert "timed out" in said["hangs"][1]


def test_the_jobs_and_the_command(calls, capsys):
    webhook()
    tell()
    call_command("send_webhooks", dry_run=True)
    assert capsys.readouterr().out == "due 1\n"
    assert tasks.send_webhooks()["delivered"] == 1
    assert tasks.purge_webhook_deliveries() == {"deleted": 0}


def test_what_was_delivered_long_ago_is_forgotten_with_its_tries(calls):
    made = webhook()
    tell()
    delivering.send(now=NOW)
    tell(event())
    old, waiting = WebhookDelivery.objects.order_by("id")
    assert purging.purge(now=old.created_at - DAY) == {"deleted": 0}
    assert purging.purge(now=datetime.now(UTC) + purging.KEPT_FOR + DAY) == {"deleted": 1}
    assert WebhookDelivery.objects.get() == waiting
    assert not WebhookAttempt.objects.exists()
    assert made.deliveries.count() == 1
