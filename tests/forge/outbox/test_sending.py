"""Each mail is sent once, none is lost, and none keeps another from it: whatever the server does and whoever dies."""

import smtplib
import threading
from datetime import timedelta

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import CommandError, call_command
from django.db import connection

from forge.db.models import JobRun
from forge.outbox import sending, tasks
from forge.outbox.models import Mail
from tests.forge.db.conftest import at_once
from tests.forge.outbox.support import NOBODY, NOW, PostOffice, owed, write

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

NONE = {"sent": 0, "failed": 0, "given_up": 0, "withdrawn": 0}
State = Mail.State
LATER = NOW + sending.LEASE


class Killed(BaseException):
    """The process is gone."""


def test_a_mail_is_sent_once_and_noted(mailoutbox):
    [mail] = write()
    assert sending.send(now=NOW) == NONE | {"sent": 1}
    assert sending.send(now=NOW + timedelta(days=1)) == NONE
    [message] = mailoutbox
    mail.refresh_from_db()
    assert (mail.state, mail.sent_at, mail.due_at, mail.attempts) == (State.SENT, NOW, None, 1)
    assert message.to == [f"{mail.recipient_id}@example.com"]
    assert message.extra_headers["Message-ID"] == mail.message_id


def test_what_is_not_due_yet_waits(mailoutbox):
    write(owed(due_at=NOW + timedelta(hours=1)))
    assert sending.send(now=NOW) == NONE
    assert sending.send(now=NOW + timedelta(hours=1)) == NONE | {"sent": 1}


def test_many_senders_send_each_mail_once(mailoutbox):
    write(*(owed() for _ in range(12)))
    counts = []
    at_once(6, lambda _: counts.append(sending.send(now=NOW)["sent"]))
    assert sum(counts) == 12
    assert len({message.extra_headers["Message-ID"] for message in mailoutbox}) == len(mailoutbox) == 12


def test_a_sender_killed_before_it_sent_leaves_the_mail_to_the_next(mailoutbox, monkeypatch):
    [mail] = write()
    with monkeypatch.context() as patch:
        patch.setattr(EmailMultiAlternatives, "send", _die)
        with pytest.raises(Killed):
            sending.send(now=NOW)
    assert sending.send(now=NOW) == NONE  # its lease still lasts
    assert sending.send(now=LATER) == NONE | {"sent": 1}
    mail.refresh_from_db()
    assert (mail.state, mail.attempts, len(mailoutbox)) == (State.SENT, 2, 1)


def test_a_sender_killed_after_the_server_took_it_sends_it_under_the_same_message_id(post_office, monkeypatch):
    write()
    send = EmailMultiAlternatives.send

    def send_and_die(self, **kwargs):
        send(self, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(EmailMultiAlternatives, "send", send_and_die)
        with pytest.raises(Killed):
            sending.send(now=NOW)
    assert sending.send(now=LATER) == NONE | {"sent": 1}
    first, second = post_office.post.taken
    assert first["Message-ID"] == second["Message-ID"] == Mail.objects.get().message_id


def test_a_mail_that_kills_its_senders_is_given_up(monkeypatch):
    [mail] = write()
    monkeypatch.setattr(EmailMultiAlternatives, "send", _die)
    now = NOW
    for _ in range(sending.MAX_ATTEMPTS):
        with pytest.raises(Killed):
            sending.send(now=now)
        now += sending.LEASE
    assert sending.send(now=now) == NONE | {"given_up": 1}
    mail.refresh_from_db()
    assert (mail.state, mail.last_error) == (State.GIVEN_UP, "Its senders vanished while they were at it.")


def test_a_slow_sender_whose_mail_another_has_given_up_still_notes_that_it_was_sent(monkeypatch):
    [mail] = write()

    def be_overtaken(self, **kwargs):
        Mail.objects.filter(pk=mail.pk).update(attempts=7)  # whoever took over after the lease
        return 1

    monkeypatch.setattr(EmailMultiAlternatives, "send", be_overtaken)
    assert sending.send(now=NOW)["sent"] == 1
    mail.refresh_from_db()
    assert mail.state == State.SENT


def test_a_slow_sender_that_failed_does_not_undo_what_another_has_done(monkeypatch):
    [mail] = write()

    def be_overtaken(self, **kwargs):
        Mail.objects.filter(pk=mail.pk).update(attempts=2, due_at=LATER)
        raise smtplib.SMTPDataError(451, b"later")

    monkeypatch.setattr(EmailMultiAlternatives, "send", be_overtaken)
    sending.send(now=NOW)
    mail.refresh_from_db()
    assert (mail.state, mail.due_at, mail.last_error) == (State.DUE, LATER, "")


def test_no_transaction_is_open_while_the_server_is_talked_to(monkeypatch):
    write()
    seen = []
    monkeypatch.setattr(EmailMultiAlternatives, "send", lambda self, **kwargs: seen.append(connection.in_atomic_block))
    sending.send(now=NOW)
    assert seen == [False]


def test_a_server_that_is_away_costs_no_mail_a_try_however_long(post_office, settings):
    write(owed(), owed())
    port = post_office.port
    settings.EMAIL_PORT = 1  # nobody listens there
    for hour in range(3 * sending.MAX_ATTEMPTS):
        with pytest.raises(sending.MailServerAway) as caught:
            sending.send(now=NOW + timedelta(hours=hour))
        assert caught.value.figures == NONE
    assert set(Mail.objects.values_list("state", "attempts")) == {(State.DUE, 0)}
    settings.EMAIL_PORT = port
    assert sending.send(now=NOW)["sent"] == 2


def test_a_mailbox_that_is_refused_keeps_no_other_from_its_mail(post_office):
    bad, *_ = write(*(owed() for _ in range(3)))
    address = f"{bad.recipient_id}@example.com"
    post_office.post.refused.add(address)
    assert sending.send(now=NOW) == NONE | {"sent": 2, "failed": 1}
    bad.refresh_from_db()
    assert (bad.state, bad.attempts, bad.due_at) == (State.DUE, 1, NOW + sending.FIRST_PAUSE)
    assert "550" in bad.last_error
    assert address not in bad.last_error


def test_a_server_that_hangs_up_in_the_middle_is_called_again_for_the_rest(post_office):
    bad, *_ = write(*(owed() for _ in range(3)))
    post_office.post.hung_up_on.add(f"{bad.recipient_id}@example.com")
    assert sending.send(now=NOW) == NONE | {"sent": 2, "failed": 1}


def test_a_server_that_goes_away_in_the_middle_leaves_the_rest_due(settings, monkeypatch):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 5
    first, *_ = write(*(owed() for _ in range(3)))
    with PostOffice() as office:
        settings.EMAIL_PORT = office.port
        office.post.hung_up_on.add(f"{first.recipient_id}@example.com")
        hang_up = sending._hang_up

        def and_close(server):
            hang_up(server)
            office.server_close()

        monkeypatch.setattr(sending, "_hang_up", and_close)
        with pytest.raises(sending.MailServerAway) as caught:
            sending.send(now=NOW)
    assert caught.value.figures == NONE | {"failed": 1}
    assert sorted(Mail.objects.values_list("attempts", flat=True)) == [0, 0, 1]


@pytest.mark.parametrize("error", [ValueError("provider says no"), KeyError("id"), smtplib.SMTPDataError(550, b"")])
def test_whatever_a_backend_raises_keeps_no_other_from_its_mail(mailoutbox, monkeypatch, error):
    bad, *_ = write(*(owed() for _ in range(3)))
    send = EmailBackend.send_messages

    def choke(self, messages):
        if messages[0].extra_headers["Message-ID"] == bad.message_id:
            raise error
        return send(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", choke)
    assert sending.send(now=NOW) == NONE | {"sent": 2, "failed": 1}
    assert len(mailoutbox) == 2


def test_a_letter_that_cannot_be_worded_fails_alone(mailoutbox):
    write(owed(facts={"subject": 7}), owed())
    assert sending.send(now=NOW) == NONE | {"sent": 1, "failed": 1}
    assert "TypeError" in Mail.objects.get(attempts=1, state=State.DUE).last_error


def test_after_growing_pauses_a_mail_is_given_up_and_stays_to_be_seen(monkeypatch):
    [mail] = write()
    monkeypatch.setattr(EmailBackend, "send_messages", _fail)
    now, pauses = NOW, []
    while sending.send(now=now)["failed"]:
        mail.refresh_from_db()
        pauses.append(mail.due_at - now)
        now = mail.due_at
    minute = timedelta(minutes=1)
    assert pauses == [*(minute * 2**n for n in range(9)), *[timedelta(hours=6)] * 2]
    mail.refresh_from_db()
    assert (mail.state, mail.due_at, mail.attempts) == (State.GIVEN_UP, None, sending.MAX_ATTEMPTS)
    assert mail.last_error == "OSError: no route"
    assert sending.send(now=now + timedelta(days=30)) == NONE


def test_what_no_longer_holds_is_withdrawn_with_the_reason(mailoutbox):
    write(owed(facts={}), owed(recipient_id=NOBODY), owed(useless_after=NOW))
    assert sending.send(now=NOW) == NONE | {"withdrawn": 3}
    assert not mailoutbox
    assert set(Mail.objects.values_list("state", "withdrawn_because", "due_at")) == {
        (State.WITHDRAWN, "the machine is stopped already", None),
        (State.WITHDRAWN, "the account of its recipient is switched off or gone", None),
        (State.WITHDRAWN, "it came too late to be of use", None),
    }


def test_a_kind_that_this_installation_does_not_know_is_left_alone(mailoutbox, settings):
    write()
    settings.FORGE_MAIL_KINDS = {"another.kind": "tests.forge.outbox.support.letter"}
    assert sending.send(now=NOW) == NONE
    assert Mail.objects.get().state == State.DUE


def test_a_run_ends_in_time_and_the_next_one_goes_on(mailoutbox, monkeypatch):
    write(owed(), owed())
    monkeypatch.setattr(sending, "RUN_SECONDS", 0.0)
    assert sending.send(now=NOW) == NONE
    monkeypatch.undo()
    assert sending.send(now=NOW)["sent"] == 2


def test_the_job_claims_its_slot_and_a_server_that_is_away_is_a_failed_run(settings, mailoutbox):
    write()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 5
    with pytest.raises(sending.MailServerAway):
        tasks.send_mails()
    run = JobRun.objects.get(job="send_mails")
    assert (run.outcome, run.figures) == (JobRun.Outcome.FAILED, NONE)
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("send_mails")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert tasks.send_mails()["sent"] == 1


def test_the_command_sends_and_a_dry_run_only_counts(mailoutbox, capsys):
    write()
    call_command("send_mails", dry_run=True)
    assert capsys.readouterr().out == "due 1\n"
    call_command("send_mails")
    assert "sent 1" in capsys.readouterr().out
    assert len(mailoutbox) == 1


def test_a_row_that_somebody_holds_is_passed_by(mailoutbox):
    held, _ = write(owed(), owed())
    ready, done = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number:
            assert ready.wait(10)
            assert sending.send(now=NOW)["sent"] == 1
            done.set()
            return
        with sending.transaction.atomic():
            Mail.objects.select_for_update(no_key=True).get(pk=held.pk)
            ready.set()
            assert done.wait(10)

    at_once(2, hold)
    held.refresh_from_db()
    assert held.state == State.DUE


def _die(self, **kwargs):
    raise Killed


def _fail(self, messages):
    raise OSError("no route")
