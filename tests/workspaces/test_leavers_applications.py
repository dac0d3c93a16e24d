"""A leaver's machine of Applications: nothing is on it that an heir could save, so it is not handed over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditLog
from forge.accounts.models import User
from forge.accounts.services import set_active
from forge.outbox import sending
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.workspaces.test_applications import launched
from tests.workspaces.test_leavers import hand_over
from tests.world import actor
from workspaces.leavers import holding
from workspaces.leavers.sweep import look_after_leavers
from workspaces.models import Quarantine
from workspaces.reconcile import reconcile

DAY = timedelta(days=1)


@pytest.fixture
def left(world, simulator, clock):
    """The engineer has left a right to a stack behind."""
    streams.stack(simulator, world.organization)
    streams.price()
    reconcile(now=clock.now)
    machine = launched(client_of(world.engineer), clock)
    set_active(actor=actor(world.admin), user=User.objects.get(pk=world.engineer.pk), is_active=False)
    assert look_after_leavers(now=clock.now)["quarantined"] == 1
    return machine


def test_the_api_refuses_to_hand_it_over_and_says_why(world, left, clock, mailoutbox):
    body = {"heir": world.lead.email, "until": (clock.now + 20 * DAY).isoformat(), "reason": "its work"}
    answer = client_of(world.admin).post(f"{WORKSPACES}{left.pk}/hand-over/", body, format="json")
    refused = problem(answer, 422, "cannot_be_handed_over")
    assert "keeps nothing" in refused["detail"]
    held = Quarantine.objects.get()
    assert (held.handed_over_at, held.ended_at) == (None, None)
    left.refresh_from_db()
    assert left.quarantined_at is not None
    assert AuditLog.objects.get(action_type="WORKSPACE_HAND_OVER").result == "DENIED"
    sending.send(now=clock.now)
    assert not any("handed over to you" in one.subject for one in mailoutbox)


def test_the_service_refuses_it_to_commands_too(world, left, clock):
    with pytest.raises(holding.CannotBeHandedOver):
        hand_over(world, clock)


def test_the_console_offers_no_button_for_it_and_says_why(world, left, client):
    client.force_login(world.admin)
    page = client.get(f"/admin/workspaces/workspace/{left.pk}/change/").content.decode()
    assert "do/hand-over/" not in page
    assert "It cannot be handed over" in page


def test_no_mail_promises_it(world, left, clock, mailoutbox):
    sending.send(now=clock.now)
    [message] = [one for one in mailoutbox if "quarantine" in one.subject]
    assert "hand it over" not in message.body
    assert "keeps nothing" in message.body
    mailoutbox.clear()
    clock.now = Quarantine.objects.get().kept_until - 6 * DAY
    assert look_after_leavers(now=clock.now)["reminded"] == 1
    sending.send(now=clock.now)
    [message] = [one for one in mailoutbox if "a few days more" in one.subject]
    assert "hand it over" not in message.body
