"""Following what AWS did by itself, and ending machines whose time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLog
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests import factories
from tests.world import actor, engineers
from workspaces import expiry, services
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.reconcile import reconcile


@pytest.fixture
def machine(world, simulator):
    """A machine that runs, here and in AWS."""
    services.launch(actor=actor(world.engineer), spec=world.spec(), now=timezone.now())
    now = timezone.now()
    for _ in range(6):
        run_due(limit=10, now=now)
        simulator.control.advance(600)
        now += timedelta(seconds=30)
    found = WorkSpace.objects.get()
    assert found.state == State.AVAILABLE
    return found


def stop_by_itself(simulator):
    simulator.control.advance(3 * 3600)


def test_a_machine_that_aws_stopped_is_stopped_here_with_one_entry(machine, simulator):
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now(), dry_run=True)["moved"] == 1
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE
    figures = reconcile(now=timezone.now())
    assert (figures["seen"], figures["moved"], figures["vanished"]) == (1, 1, 0)
    machine.refresh_from_db()
    assert (machine.state, machine.provider_state) == (State.STOPPED, "STOPPED")
    entry = AuditLog.objects.get(action_type="WORKSPACE_STATE_CHANGE")
    assert (entry.actor_kind, entry.organization_id) == ("JOB", machine.organization_id)
    assert reconcile(now=timezone.now())["moved"] == 0
    assert AuditLog.objects.filter(action_type="WORKSPACE_STATE_CHANGE").count() == 1


def test_a_machine_in_an_account_that_is_switched_off_is_followed_too(machine, simulator):
    ProviderAccount.objects.update(enabled=False)
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now())["moved"] == 1


def test_a_machine_that_is_gone_in_aws_is_terminated(machine):
    WorkSpace.objects.update(provider_id="ws-000000000", directory_user="somebody-else")
    assert reconcile(now=timezone.now())["vanished"] == 1
    machine.refresh_from_db()
    assert machine.state == State.TERMINATED
    assert machine.state_changes.latest("id").reason == "vanished from AWS"


def test_an_account_that_does_not_answer_is_passed_over(machine, settings, simulator):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    figures = reconcile(now=timezone.now())
    assert (figures["unreachable"], figures["moved"]) == (1, 0)
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE


def test_a_machine_with_an_open_operation_is_left_to_it(machine, world, simulator):
    services.stop(actor=actor(world.engineer), workspace_id=machine.pk, now=timezone.now())
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now())["seen"] == 0


def test_a_state_that_may_not_follow_is_counted_and_left(machine):
    WorkSpace.objects.update(state="TERMINATING")
    assert reconcile(now=timezone.now())["unexplained"] == 1
    machine.refresh_from_db()
    assert machine.state == State.TERMINATING


def test_who_is_connected_is_seen(machine, simulator):
    simulator.control.connect(machine.provider_id)
    now = timezone.now()
    assert reconcile(now=now)["refreshed"] == 1
    machine.refresh_from_db()
    assert machine.last_connected_at == now


# -- the end of the lifetime ---------------------------------------------------------------------------------------
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
