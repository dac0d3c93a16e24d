"""Owners hear by mail of what a rule is about to do, at the very time that the machine shows and the rule acts on."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.utils import timezone

from forge.outbox import sending
from forge.outbox.models import Mail
from tests.workspaces.rules.support import fresh, idle_samples, machine, run, stopped
from workspaces import mails
from workspaces.models import WorkSpace
from workspaces.rules import acting

DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def told_time(at):
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def test_the_warning_of_an_idle_stop_names_the_time_of_the_stop(world, now, mailoutbox):
    idle = machine(world, since=now - timedelta(hours=3))
    idle_samples(idle, now)
    assert run(now) == {"warned": 1}
    row = fresh(idle)
    assert row.next_action == "stop"
    sending.send(now=now)
    [message] = mailoutbox
    assert message.to == [world.engineer.email]
    assert f"Stops at: {told_time(row.next_action_at)}" in message.body
    assert "Save your work" in message.body
    idle_samples(idle, row.next_action_at, count=2)
    assert run(row.next_action_at) == {"due": 1, "stopped": 1}


def test_a_warning_that_use_has_overtaken_is_not_sent(world, now, mailoutbox):
    idle = machine(world, since=now - timedelta(hours=3))
    idle_samples(idle, now)
    run(now)
    WorkSpace.objects.filter(pk=idle.pk).update(last_activity_at=now)
    sending.send(now=now)
    assert not mailoutbox
    assert Mail.objects.get().withdrawn_because == "the rule will stop the machine later"


def test_the_warning_of_an_end_names_the_end_of_the_lifetime(world, now, mailoutbox):
    ending = stopped(world, since=now - DAY, created_at=now - 83 * DAY, max_lifetime_days=90)
    assert run(now) == {"warned": 1}
    row = fresh(ending)
    assert (row.next_action, row.next_action_at) == ("terminate", row.lifetime_end)
    sending.send(now=now)
    [message] = mailoutbox
    assert f"Ends at: {told_time(row.next_action_at)}" in message.body
    assert "extend its lifetime" in message.body


def test_the_flag_of_a_stale_machine_is_told_with_the_end_that_follows(world, now, mailoutbox):
    stale = stopped(world, since=now - 31 * DAY, created_at=now - 32 * DAY, max_lifetime_days=365)
    assert run(now)["flagged"] == 1
    row = fresh(stale)
    sending.send(now=now)
    [message] = mailoutbox
    assert f"Ends at: {told_time(row.next_action_at)}" in message.body
    assert "stopped for a long time" in message.body


def test_who_keeps_a_machine_alive_is_not_told_of_its_end(world, now, mailoutbox):
    ending = stopped(world, since=now - DAY, created_at=now - 85 * DAY, max_lifetime_days=90)
    run(now)
    WorkSpace.objects.filter(pk=ending.pk).update(keep_alive=True, keep_alive_until=None)
    sending.send(now=now)
    assert not mailoutbox
    assert Mail.objects.get().withdrawn_because == "no rule is about to terminate the machine any more"


def test_a_warning_without_its_mail_is_none(world, now, monkeypatch):
    idle = machine(world, since=now - timedelta(hours=3))
    idle_samples(idle, now)

    def fail(*args, **kwargs):
        raise ConnectionError

    monkeypatch.setattr(acting, "owe", fail)
    with pytest.raises(ConnectionError):
        acting.warn(actor=acting.Actor.job("enforce_lifecycle"), workspace_ids=[idle.id], now=now)
    assert fresh(idle).stop_warned_at is None
    assert not idle.decisions.exists()
    assert mails.ABOUT_TO_STOP not in Mail.objects.values_list("kind", flat=True)
