"""Ending machines whose time is over, unless somebody keeps them alive."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from audit.models import AuditLog
from forge.operations.models import Operation
from tests import factories
from tests.world import engineers
from workspaces import expiry
from workspaces.models import WorkSpace


def expired(world, count, **facts):
    people = engineers(world, count)
    due = timezone.now() - timedelta(days=1)
    return [
        factories.WorkSpaceFactory(
            organization=world.organization,
            owner=person,
            team=world.team,
            provider_account=world.account,
            next_action="terminate",
            next_action_at=due,
            **{"provider_id": f"ws-{person.pk.hex[-9:]}", **facts},
        )
        for person in people
    ]


def test_a_machine_past_its_lifetime_is_ended_by_the_job_with_one_entry(world):
    [machine] = expired(world, 1)
    assert expiry.end_expired(now=timezone.now(), dry_run=True) == {"due": 1, "ended": 0, "passed_over": 0}
    assert not Operation.objects.exists()
    assert expiry.end_expired(now=timezone.now()) == {"due": 1, "ended": 1, "passed_over": 0}
    assert Operation.objects.get().target_id == machine.pk
    entry = AuditLog.objects.get(action_type="WORKSPACE_TERMINATE")
    assert (entry.actor_kind, entry.interface) == ("JOB", "JOB")
    assert expiry.end_expired(now=timezone.now())["due"] == 0


def test_what_is_kept_alive_stays_until_the_keep_alive_is_over(world):
    now = timezone.now()
    expired(world, 1, keep_alive=True, keep_alive_until=now + timedelta(hours=1))
    assert expiry.end_expired(now=now)["due"] == 0
    assert expiry.end_expired(now=now + timedelta(hours=2))["ended"] == 1


def test_stuck_machines_take_nobodys_place_in_the_run(world, monkeypatch):
    monkeypatch.setattr(expiry, "AT_MOST", 1)
    expired(world, 1, history=[(timezone.now() - timedelta(days=2), "TERMINATING")])
    expired(world, 2)
    assert [expiry.end_expired(now=timezone.now())["ended"] for _ in range(3)] == [1, 1, 0]


def test_a_machine_whose_time_is_not_over_stays(world):
    expired(world, 1)
    WorkSpace.objects.update(next_action_at=timezone.now() + timedelta(hours=1))
    assert expiry.end_expired(now=timezone.now())["due"] == 0
