"""`why` of a machine whose people were told of an early idle stop: that is what comes next, and for what reason."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from tests.workspaces.rules.support import fresh, idle_samples, machine, sample
from tests.workspaces.support import WORKSPACES, client_of
from tests.world import actor
from workspaces import services
from workspaces.models import WorkSpace
from workspaces.rules import early
from workspaces.rules.judging import Outcome
from workspaces.rules.why import why

MINUTE = timedelta(minutes=1)
JOB = Actor.job("check_budgets")
BECAUSE = {"budget": "01931e5c", "limit": "10.00", "spent": "12.00"}


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def told(world, now):
    """An idle machine with an idle time of ten hours, whose owner was told of an early stop."""
    idle = machine(world, since=now - 30 * MINUTE, auto_stop_timeout_minutes=600)
    idle_samples(idle, now)
    with transaction.atomic():
        assert early.warn_early(actor=JOB, workspace_ids=[idle.pk], because=BECAUSE, now=now) == [idle]
    return idle


def stops_at(machine, at):
    return next((step["action"], step["at"]) for step in why(workspace=fresh(machine), now=at)["steps"])


def test_the_early_stop_is_what_comes_next_and_its_reason_is_told(told, now):
    shown = why(workspace=fresh(told), now=now)
    assert (shown["next"]["action"], shown["next"]["at"]) == ("stop", now + 10 * MINUTE)
    assert "budget 01931e5c, limit 10.00, spent 12.00" in shown["next"]["reason"]
    assert shown["reasons"][0] == shown["next"]["reason"]
    assert shown["stop_warned_at"] == now
    assert [step["action"] for step in shown["steps"]] == ["stop", "terminate"]
    later = now + 10 * MINUTE
    idle_samples(told, later, count=2)
    asked = {"actor": JOB, "workspace_id": told.pk, "because": BECAUSE, "still": lambda: True}
    assert early.stop_early(**asked, now=later) == Outcome.STOP


def test_the_api_shows_it(world, told, now):
    shown = client_of(world.engineer).get(f"{WORKSPACES}{told.pk}/why/").json()
    assert shown["next"]["rule"] == "idle"
    assert "limit 10.00" in shown["next"]["reason"]


def test_use_voids_it(told, now):
    sample(told, now + 5 * MINUTE, connected=True)
    assert stops_at(told, now + 6 * MINUTE) == ("stop", told.state_since + 600 * MINUTE)


def test_a_lease_voids_it(world, told, now):
    until = now + timedelta(hours=20)
    services.lease(actor=actor(world.engineer), workspace_id=told.pk, until=until, reason="r", now=now)
    assert stops_at(told, now) == ("stop", until)


def test_an_own_stop_that_comes_sooner_is_shown(told, now):
    WorkSpace.objects.filter(pk=told.pk).update(auto_stop_timeout_minutes=35)
    shown = why(workspace=fresh(told), now=now)["next"]
    assert shown["at"] == told.state_since + 35 * MINUTE
    assert "limit" not in shown["reason"]
