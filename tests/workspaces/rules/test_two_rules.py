"""A machine that two rules are about to end: each tells of its own end, and what helps against one is no help against
the other.
"""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLog
from forge.db.models import JobSwitch
from forge.operations.models import Operation
from forge.outbox import sending
from forge.outbox.models import Mail, WebhookDelivery
from tests.forge.outbox.webhooks.support import webhook
from tests.workspaces.rules.support import fresh, run, stopped
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.world import actor
from workspaces import mails, services
from workspaces.models import WorkSpace
from workspaces.services.calling_off import EndUnderWay

DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def ends_at(at):
    return f"Ends at: {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def stale_beside_its_lifetime(world, now):
    """Stopped for 30 days; its lifetime ends in 5, of which its owner was told."""
    return stopped(
        world, since=now - 30 * DAY, created_at=now - 55 * DAY, max_lifetime_days=60, end_warned_at=now - 2 * DAY
    )


def extend(world, machine, now, days=300):
    services.extend(actor=actor(world.engineer), workspace_id=machine.pk, reason="needed", now=now, days=days)


def test_the_mail_of_a_flag_tells_of_the_end_that_the_flag_leads_to(world, now, mailoutbox):
    machine = stale_beside_its_lifetime(world, now)
    assert run(now)["flagged"] == 1
    assert fresh(machine).next_rule == "lifetime"
    owed = Mail.objects.get(kind=mails.ABOUT_TO_END)
    assert owed.facts == {"at": (now + 7 * DAY).isoformat(), "rule": "stale"}
    assert AuditLog.objects.get(action_type="WORKSPACE_STALE").context["ends_at"] == (now + 7 * DAY).isoformat()
    sending.send(now=now)
    [message] = mailoutbox
    assert "stopped for a long time" in message.body
    assert ends_at(now + 7 * DAY) in message.body


def test_whoever_extends_the_lifetime_was_told_of_the_stale_end_that_still_comes(world, now):
    machine = stale_beside_its_lifetime(world, now)
    run(now)
    extend(world, machine, now + DAY)
    assert run(now + 7 * DAY - timedelta(seconds=1)) == {}
    assert run(now + 7 * DAY) == {"due": 1, "ended": 1}
    assert [one["rule"] for one in Mail.objects.values_list("facts", flat=True)] == ["stale"]


def test_a_flag_and_a_warning_of_one_run_are_two_mails_and_two_events(world, now, mailoutbox):
    webhook(organization_id=world.organization.id, kinds=["workspace.about_to_end"])
    machine = stopped(world, since=now, created_at=now, max_lifetime_days=40)
    paused = JobSwitch.objects.create(job="enforce_lifecycle", organization_id=world.organization.id)
    assert run(now + 33 * DAY) == {}
    paused.delete()
    back = now + 34 * DAY
    figures = run(back)
    assert (figures["warned"], figures["flagged"]) == (1, 1)
    told = {one["rule"]: one["at"] for one in Mail.objects.values_list("facts", flat=True)}
    assert told == {"lifetime": (back + 7 * DAY).isoformat(), "stale": (back + 7 * DAY).isoformat()}
    assert WebhookDelivery.objects.count() == 2
    sending.send(now=back)
    assert len(mailoutbox) == 2
    assert all(ends_at(back + 7 * DAY) in one.body for one in mailoutbox)
    extend(world, machine, back + DAY)
    assert run(back + 7 * DAY) == {"due": 1, "ended": 1}


def test_a_warning_tells_of_its_own_end_where_another_rule_ends_the_machine_sooner(world, now, mailoutbox):
    stopped(
        world, since=now - 36 * DAY, created_at=now - 53 * DAY, max_lifetime_days=60, stale_notified_at=now - 6 * DAY
    )
    assert run(now) == {"warned": 1}
    assert Mail.objects.get().facts == {"at": (now + 7 * DAY).isoformat(), "rule": "lifetime"}
    sending.send(now=now)
    [message] = mailoutbox
    assert ends_at(now + 7 * DAY) in message.body


def test_the_mail_of_a_stale_machine_advises_what_helps(world, now, mailoutbox):
    stopped(world, since=now - 31 * DAY, created_at=now - 32 * DAY, max_lifetime_days=365)
    run(now)
    sending.send(now=now)
    [message] = mailoutbox
    assert "start it or have it kept alive before that time" in message.body
    assert "extend" not in message.body


@pytest.fixture
def stale_end(world, now):
    """A machine of which the rule has queued the end, because it is stale."""
    machine = stopped(world, since=now - 40 * DAY, created_at=now - 40 * DAY, stale_notified_at=now - 7 * DAY)
    assert run(now) == {"due": 1, "ended": 1}
    return machine


def test_an_extension_does_not_call_off_the_end_of_a_stale_machine_and_says_so(world, stale_end):
    body = {"days": 100, "reason": "needed"}
    answer = client_of(world.engineer).post(f"{WORKSPACES}{stale_end.pk}/extend/", body, format="json")
    refused = problem(answer, 409, "end_under_way")
    assert "stale" in refused["detail"]
    assert "kept alive" in refused["detail"]
    assert Operation.objects.get().status == "queued"
    assert fresh(stale_end).max_lifetime_days == 90


def test_a_keep_alive_calls_off_the_end_of_a_stale_machine(world, now, stale_end):
    services.keep_alive(
        actor=actor(world.engineer), workspace_id=stale_end.pk, until=now + 9 * DAY, reason="needed", now=now
    )
    assert Operation.objects.get().status == "cancelled"
    assert run(now + timedelta(minutes=5)) == {}


def test_a_machine_whose_lifetime_end_is_queued_is_extended_though_it_is_flagged(world, now):
    machine = stale_beside_its_lifetime(world, now)
    run(now)
    assert run(now + 5 * DAY) == {"due": 1, "ended": 1}
    extend(world, machine, now + 5 * DAY)
    assert Operation.objects.get().status == "cancelled"
    assert run(now + 5 * DAY + timedelta(minutes=5)) == {}


def test_a_mail_that_was_held_up_says_by_which_rule_the_machine_is_being_ended(world, now, mailoutbox):
    stale_beside_its_lifetime(world, now)
    run(now)
    assert run(now + 5 * DAY) == {"due": 1, "ended": 1}
    WorkSpace.objects.update(state="TERMINATING")
    sending.send(now=now + 5 * DAY)
    [message] = mailoutbox
    assert "is being ended, because its agreed lifetime is over" in message.body


def test_an_extension_waits_for_no_end_of_a_person(world, now):
    machine = stopped(world, since=now, created_at=now)
    services.terminate(actor=actor(world.engineer), workspace_id=machine.pk, now=now)
    with pytest.raises(EndUnderWay) as refused:
        extend(world, machine, now)
    assert "stale" not in str(refused.value)
