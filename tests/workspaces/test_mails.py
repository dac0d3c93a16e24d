"""What owners are told of their machines by mail, from the change to the message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from audit.actors import Actor
from forge.accounts.models import User
from forge.operations import services as operations
from forge.outbox import sending
from forge.outbox.models import Mail
from tests.workspaces.support import Clock, ask, launch, machine
from tests.world import actor
from workspaces import mails, reconcile, services
from workspaces.models import WorkSpace


def told(clock: Clock, kind: str, outbox):
    """The messages of `kind` that are sent by now; other kinds stay out."""
    outbox.clear()
    sending.send(now=clock.now + timedelta(minutes=1))
    ids = set(Mail.objects.filter(kind=kind, state=Mail.State.SENT).values_list("message_id", flat=True))
    return [message for message in outbox if message.extra_headers["Message-ID"] in ids]


def test_the_owner_of_a_machine_that_is_ready_is_told_how_to_connect(world, simulator, clock, mailoutbox):
    assert clock.finish(launch(world, clock)).status == "succeeded"
    [message] = told(clock, mails.READY, mailoutbox)
    workspace = machine()
    code = workspace.connection_url.partition("registrationCode=")[2]
    assert code
    assert message.to == [world.engineer.email]
    assert message.subject == f"Forge: your machine {workspace.name} is ready"
    for part in (message.body, message.alternatives[0].content):
        assert code in part
        assert workspace.directory_user in part
        assert "https://clients.amazonworkspaces.com/" in part
    assert code not in str(Mail.objects.get(kind=mails.READY).facts)  # how to connect stands in no row


def test_a_machine_whose_address_is_not_known_yet_says_so(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(connection_url=None)
    [message] = told(clock, mails.READY, mailoutbox)
    assert "AWS has not told its registration code yet" in message.body


def test_the_ready_mail_is_written_in_the_transaction_of_the_move(world, simulator, clock, monkeypatch):
    launch(world, clock)

    def fail(*args, **kwargs):
        raise ConnectionError

    monkeypatch.setattr(mails, "owe", fail)
    for _ in range(5):
        clock.work()
    assert machine().state == "PENDING"
    assert not Mail.objects.exists()
    monkeypatch.undo()
    for _ in range(5):
        clock.work(seconds=400)
    assert machine().state == "AVAILABLE"
    assert Mail.objects.filter(kind=mails.READY).count() == 1


def test_the_same_fact_of_a_machine_is_told_once(world, simulator, clock):
    clock.finish(launch(world, clock))
    with transaction.atomic():
        mails.owe([mails.about(machine(), mails.READY, actor=Actor.job("operations"))], now=clock.now)
    assert Mail.objects.filter(kind=mails.READY).count() == 1


def test_a_launch_that_failed_says_why_and_what_to_do(world, simulator, clock, mailoutbox):
    simulator.control.fault("resource_limit", operation="CreateWorkspaces", count=9)
    ended = clock.finish(launch(world, clock))
    assert ended.status == "failed"
    [message] = told(clock, mails.FAILED, mailoutbox)
    assert message.subject == f"Forge: the launch of {machine().name} has failed"
    assert ended.error["detail"] in message.body
    assert str(ended.id) in message.body
    assert "nothing is charged" in message.body


def test_whoever_calls_the_own_launch_off_gets_no_mail_about_it(world, simulator, clock, mailoutbox):
    operation = launch(world, clock)
    operations.cancel(operation=operation, actor=actor(world.engineer), now=clock.now)
    assert told(clock, mails.FAILED, mailoutbox) == []
    mail = Mail.objects.get(kind=mails.FAILED)
    assert (mail.state, mail.withdrawn_because) == (Mail.State.WITHDRAWN, "its reader has called the launch off")


def test_a_launch_that_somebody_else_called_off_says_who(world, simulator, clock, mailoutbox):
    operation = launch(world, clock)
    operations.cancel(operation=operation, actor=actor(world.lead), now=clock.now)
    [message] = told(clock, mails.FAILED, mailoutbox)
    assert f"called off by {world.lead.full_name}" in message.body


def test_a_launch_called_off_past_the_call_says_who_too(world, simulator, clock, mailoutbox):
    operation = launch(world, clock)
    clock.work(seconds=1)
    services.terminate(actor=actor(world.lead), workspace_id=machine().pk, now=clock.now)
    assert clock.finish(operation).error["code"] == "called_off"
    [message] = told(clock, mails.FAILED, mailoutbox)
    assert f"called off by {world.lead.full_name}" in message.body


@pytest.mark.parametrize(("who", "because"), [("engineer", "you asked for it"), ("lead", "{} asked for it")])
def test_the_end_of_a_machine_is_told_with_whoever_asked(world, simulator, clock, mailoutbox, who, because):
    clock.finish(launch(world, clock))
    person: User = getattr(world, who)
    operation = services.terminate(actor=actor(person), workspace_id=machine().pk, now=clock.now).operation
    assert clock.finish(operation).status == "succeeded"
    [message] = told(clock, mails.ENDED, mailoutbox)
    assert message.to == [world.engineer.email]
    assert because.format(person.full_name) in message.body


def test_a_machine_that_vanished_from_aws_is_told_too(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(provider_id="ws-000000000", directory_user="somebody-else")
    reconcile.reconcile(now=clock.now)
    [message] = told(clock, mails.ENDED, mailoutbox)
    assert "AWS no longer has it" in message.body


def test_a_machine_that_ended_before_its_mail_was_sent_is_not_told_to_be_ready(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    clock.finish(ask("terminate", world, clock))
    assert told(clock, mails.READY, mailoutbox) == []
    assert Mail.objects.get(kind=mails.READY).withdrawn_because == "the machine has ended"


def test_stop_and_start_owe_no_mail(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    before = Mail.objects.count()
    assert clock.finish(ask("stop", world, clock)).status == "succeeded"
    assert clock.finish(ask("start", world, clock)).status == "succeeded"
    assert Mail.objects.count() == before


def test_an_owner_who_is_switched_off_is_written_to_no_more(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    User.objects.filter(pk=world.engineer.pk).update(is_active=False)
    assert told(clock, mails.READY, mailoutbox) == []


def test_what_people_call_their_machine_does_no_harm_in_a_mail(world, simulator, clock, mailoutbox):
    clock.finish(launch(world, clock))
    WorkSpace.objects.update(name="<b>a</b>")
    [message] = told(clock, mails.READY, mailoutbox)
    assert "<b>a</b>" in message.subject
    assert "<b>a</b>" not in message.alternatives[0].content
