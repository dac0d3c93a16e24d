"""A pause of the rules: heard by the machine that has its turn, by what is queued already, and told of."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.models import AuditLog
from forge.db import scope
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.operations.runner import run_due, run_one
from tests import factories
from tests.workspaces.rules.support import fresh, machine, run, stopped
from tests.workspaces.test_bulk import running
from tests.world import actor, engineers
from workspaces import aws, services, tasks
from workspaces.models import Decision, WorkSpace
from workspaces.rules import sweep
from workspaces.rules.why import why

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def pause(world=None, reason=""):
    """Pause the rules for the organization of a world, or for everybody."""
    organization_id = world.organization.id if world else None
    return JobSwitch.objects.create(job="enforce_lifecycle", organization_id=organization_id, reason=reason)


def queued_ends(world, clock, count):
    """Machines whose automatic ends are queued, and when."""
    machines = running(world, clock, count)
    now = clock.now + 91 * DAY
    WorkSpace.objects.update(end_warned_at=now - 8 * DAY, is_unreckoned=True)
    sweep.enforce(now=now)
    assert sweep.enforce(now=now + MINUTE)["ended"] == count
    return machines, now + MINUTE


@pytest.mark.parametrize("scope", ["organization", "everybody"])
def test_a_pause_in_the_middle_of_a_run_is_heard_by_the_next_machine(world, now, monkeypatch, scope):
    for person in engineers(world, 6):
        stopped(world, owner=person, since=now - 40 * DAY)
    act, asked = sweep.act, []

    def acting(**what):
        asked.append(what)
        if len(asked) == 3:
            pause(world if scope == "organization" else None)
        return act(**what)

    monkeypatch.setattr(sweep, "act", acting)
    assert run(now) == {"due": 6, "flagged": 2, "paused": 4}
    assert Decision.objects.count() == WorkSpace.objects.filter(stale_notified_at__isnull=False).count() == 2


def test_a_pause_between_two_batches_of_warnings_is_heard_by_the_next(world, now, monkeypatch):
    monkeypatch.setattr(sweep, "WARNED_TOGETHER", 1)
    for person in engineers(world, 3):
        machine(world, owner=person, since=now - 85 * DAY, running_mode="ALWAYS_ON", last_activity_at=now)
    warn, asked = sweep.warn, []

    def warning(**what):
        asked.append(what)
        if len(asked) == 2:
            pause(world)
        return warn(**what)

    monkeypatch.setattr(sweep, "warn", warning)
    assert run(now) == {"warned": 1}


def test_another_organizations_pause_holds_nobody_else(world, now):
    stopped(world, since=now - 40 * DAY)
    other = factories.OrganizationFactory()
    JobSwitch.objects.create(job="enforce_lifecycle", organization_id=other.id)
    assert run(now) == {"due": 1, "flagged": 1}


@pytest.mark.parametrize("scope", ["organization", "everybody"])
def test_queued_ends_that_have_not_begun_are_called_off_and_come_again_after_the_pause(world, simulator, clock, scope):
    machines, now = queued_ends(world, clock, 3)
    switch = pause(world if scope == "organization" else None, reason="a bad policy")
    run_due(limit=20, now=now)
    ends = Operation.objects.filter(kind="workspace.terminate")
    assert {one.status for one in ends} == {"cancelled"}
    whose = "for this organization" if scope == "organization" else "for the whole installation by its operators"
    for operation in ends:
        step = operation.steps[-1]
        assert step["name"] == "rules_paused"
        assert step["detail"].startswith(f"The rules are paused {whose} since ")
        assert step["detail"].endswith("(a bad policy).")
    entries = AuditLog.objects.filter(action_type="WORKSPACE_TERMINATE_OUTCOME")
    assert [(one.result, one.context["code"]) for one in entries] == [("FAILURE", "rules_paused")] * 3
    assert sweep.enforce(now=now + MINUTE)["ended"] == 0
    services.keep_alive(
        actor=actor(machines[0].owner), workspace_id=machines[0].pk, until=now + 20 * DAY, reason="thesis", now=now
    )
    switch.delete()
    assert sweep.enforce(now=now + 2 * MINUTE)["ended"] == 2


def test_a_pause_while_aws_is_looked_at_is_heard_before_it_is_asked(world, simulator, clock, monkeypatch):
    _, now = queued_ends(world, clock, 1)
    look = aws.Gateway.look

    def looking(self, known):
        with scope.system():
            pause()
        return look(self, known)

    monkeypatch.setattr(aws.Gateway, "look", looking)
    run_one(Operation.objects.get(kind="workspace.terminate").pk, now=now)
    assert Operation.objects.get(kind="workspace.terminate").status == "cancelled"
    assert WorkSpace.objects.get().state == "AVAILABLE"


def test_what_has_begun_and_what_a_person_asked_for_goes_on_in_a_pause(world, simulator, clock):
    machines, now = queued_ends(world, clock, 1)
    run_one(Operation.objects.get(kind="workspace.terminate").pk, now=now)
    pause()
    simulator.control.advance(600)
    run_due(limit=5, now=now + MINUTE)
    assert fresh(machines[0]).state == "TERMINATED"


def test_an_end_that_a_person_asked_for_is_carried_out_in_a_pause(world, simulator, clock):
    (one,) = running(world, clock, 1)
    pause()
    asked = services.terminate(actor=actor(one.owner), workspace_id=one.pk, now=clock.now)
    assert clock.finish(asked.operation).status == "succeeded"


def test_the_command_honours_a_pause_for_everybody_and_says_so(world, now, capsys):
    left = stopped(world, since=now - 40 * DAY)
    switch = pause(reason="holidays")
    for arguments in ((), ("--dry-run",)):
        call_command("enforce_lifecycle", "--json", *arguments)
        told = json.loads(capsys.readouterr().out)
        assert told["is_paused"].startswith("The rules are paused for the whole installation by its operators since ")
        assert told["is_paused"].endswith("(holidays)")
    assert (told["would"], fresh(left).stale_notified_at) == (0, None)
    switch.delete()
    call_command("enforce_lifecycle", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["flagged"], "is_paused" in told) == (1, False)


def test_why_says_who_paused_the_rules_since_when_and_that_the_next_deadline_waits(world, now):
    left = stopped(world, since=now - 40 * DAY)
    assert why(workspace=fresh(left), now=now)["paused"] is None
    switch = pause(world, reason="a move")
    told = why(workspace=fresh(left), now=now)
    assert told["paused"] == {"by": "organization", "since": switch.updated_at, "reason": "a move"}
    since = f"{switch.updated_at:%Y-%m-%d %H:%M} UTC"
    assert told["reasons"][0] == (
        f"The rules are paused for this organization since {since} (a move): whatever is due waits until they go on."
    )
    pause()
    assert why(workspace=fresh(left), now=now)["paused"]["by"] == "installation"


def test_a_slot_that_failed_half_way_is_not_worked_again(world, now, settings, monkeypatch):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 3, 1
    monkeypatch.setattr("workspaces.tasks.timezone.now", lambda: now)
    for person in engineers(world, 9):
        stopped(world, owner=person, since=now - 40 * DAY)
    act, touched = sweep.act, []

    def acting(**what):
        touched.append(what)
        if len(touched) % 3 == 1:
            raise RuntimeError("one bad machine")
        return act(**what)

    monkeypatch.setattr(sweep, "act", acting)
    with pytest.raises(sweep.LifecycleFailed):
        tasks.enforce_lifecycle()
    assert [tasks.enforce_lifecycle(), tasks.enforce_lifecycle()] == [None, None]
    assert (len(touched), JobRun.objects.get().outcome) == (3, "FAILED")
