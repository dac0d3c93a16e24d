"""Ending machines whose time is over, unless somebody keeps them alive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditLog
from forge.db.models import JobRun
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests import factories
from tests.world import actor, engineers
from workspaces import aws, expiry, services, tasks
from workspaces.models import WorkSpace
from workspaces.services.keeping import EndUnderWay


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
    assert expiry.end_expired(now=timezone.now(), dry_run=True) == {"due": 1, "ended": 0, "passed_over": 0, "failed": 0}
    assert not Operation.objects.exists()
    assert expiry.end_expired(now=timezone.now()) == {"due": 1, "ended": 1, "passed_over": 0, "failed": 0}
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


# -- keep-alive against the rule -----------------------------------------------------------------------------------
def keep(machine, *, now=None, **changes):
    now = now or timezone.now()
    wanted = {"until": now + timedelta(days=9), "reason": "thesis", **changes}
    return services.keep_alive(actor=actor(machine.owner), workspace_id=machine.pk, now=now, **wanted)


@pytest.mark.parametrize("rescue", ["kept alive", "given more time"])
def test_a_machine_that_is_rescued_while_the_rule_runs_stays(world, monkeypatch, rescue):
    [machine] = expired(world, 1)
    real = expiry.terminate_due

    def late(**asked):
        if rescue == "kept alive":
            keep(machine)
        else:
            WorkSpace.objects.update(next_action_at=timezone.now() + timedelta(days=1))
        return real(**asked)

    monkeypatch.setattr(expiry, "terminate_due", late)
    figures = expiry.end_expired(now=timezone.now())
    assert (figures["ended"], figures["passed_over"]) == (0, 1)
    assert not Operation.objects.exists()


def test_a_keep_alive_calls_off_the_automatic_end_that_is_queued(world):
    [machine] = expired(world, 1)
    expiry.end_expired(now=timezone.now())
    assert keep(machine).keep_alive
    assert Operation.objects.get().status == "cancelled"
    run_due(limit=10)
    machine.refresh_from_db()
    assert machine.state == "AVAILABLE"


def test_a_keep_alive_stops_the_worker_that_has_begun_with_the_automatic_end(world, monkeypatch):
    [machine] = expired(world, 1)
    expiry.end_expired(now=timezone.now())

    def look(gateway, known):
        keep(machine)
        return aws.Machine(known.provider_id, "", "", "AVAILABLE", "", "", "", None, "")

    monkeypatch.setattr(aws.Gateway, "look", look)
    run_due(limit=1)
    assert Operation.objects.get().status == "cancelled"
    machine.refresh_from_db()
    assert (machine.state, machine.keep_alive) == ("AVAILABLE", True)


def test_a_keep_alive_comes_too_late_once_aws_was_asked(world):
    [machine] = expired(world, 1)
    expiry.end_expired(now=timezone.now())
    Operation.objects.update(cancellable=False)
    with pytest.raises(EndUnderWay) as refused:
        keep(machine)
    assert refused.value.extra["operation"] == str(Operation.objects.get().pk)
    machine.refresh_from_db()
    assert machine.keep_alive is False


def test_a_keep_alive_does_not_call_off_the_end_that_a_person_asked_for(world):
    [machine] = expired(world, 1)
    services.terminate(actor=actor(world.lead), workspace_id=machine.pk, now=timezone.now())
    with pytest.raises(EndUnderWay):
        keep(machine)
    assert Operation.objects.get().status == "queued"
    assert keep(machine, until=None, reason="").keep_alive is False


# -- faults --------------------------------------------------------------------------------------------------------
def test_a_machine_whose_end_cannot_be_queued_keeps_no_other_from_its_turn(world, monkeypatch):
    monkeypatch.setattr(expiry, "AT_MOST", 2)
    machines = expired(world, 3)
    real = expiry.terminate_due

    def broken(**asked):
        if asked["workspace_id"] in (machines[0].pk, machines[1].pk):
            raise RuntimeError("one bad machine")
        return real(**asked)

    monkeypatch.setattr(expiry, "terminate_due", broken)
    now = timezone.now()
    with pytest.raises(expiry.LifecycleFailed) as failed:
        expiry.end_expired(now=now)
    assert failed.value.figures["failed"] == 2
    assert expiry.end_expired(now=now)["ended"] == 1


def test_the_job_and_the_command_fail_when_a_machine_did(world, monkeypatch, capsys):
    expired(world, 1)

    def broken(**asked):
        raise RuntimeError("one bad machine")

    monkeypatch.setattr(expiry, "terminate_due", broken)
    with pytest.raises(CommandError, match="RuntimeError"):
        call_command("enforce_lifecycle")
    assert "failed 1" in capsys.readouterr().out
    WorkSpace.objects.update(next_action_at=timezone.now() - timedelta(days=1))
    with pytest.raises(expiry.LifecycleFailed):
        tasks.enforce_lifecycle()
    assert JobRun.objects.get().outcome == "FAILED"


def test_an_automatic_end_that_fails_is_put_off_longer_each_time(world, monkeypatch):
    [machine] = expired(world, 1)
    shown = aws.Machine(machine.provider_id, "", "", "AVAILABLE", "", "", "", None, "")

    def denied(gateway, provider_id):
        raise aws.Invalid("AccessDeniedException", "no")

    monkeypatch.setattr(aws.Gateway, "look", lambda self, known: shown)
    monkeypatch.setattr(aws.Gateway, "terminate", denied)
    now = timezone.now()
    waits = []
    for _ in range(6):
        assert expiry.end_expired(now=now)["ended"] == 1
        run_due(limit=1, now=now)
        machine.refresh_from_db()
        waits.append((machine.next_action_at - now).total_seconds() / 3600)
        now = machine.next_action_at
    assert waits == [1, 2, 4, 8, 16, 24]
