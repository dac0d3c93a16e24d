"""Ending machines whose time is over, unless somebody keeps them alive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditLog
from forge.db.ids import uuid7
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.operations.runner import run_due
from forge.outbox import sending
from tests.workspaces.rules.support import idle_samples, run, stopped
from tests.workspaces.rules.support import machine as machine_of
from tests.world import actor, engineers
from workspaces import aws, services, tasks
from workspaces.lifecycle import AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.rules import sweep
from workspaces.rules.why import why
from workspaces.services.calling_off import EndUnderWay

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def expired(world, count, **facts):
    """Machines whose lifetime of a day ended yesterday, of which their owners were warned when they were launched."""
    launched = timezone.now() - timedelta(days=2)
    facts = {"running_mode": "ALWAYS_ON", "max_lifetime_days": 1, "end_warned_at": launched} | facts
    return [machine_of(world, owner=person, since=launched, **facts) for person in engineers(world, count)]


def test_a_machine_past_its_lifetime_is_ended_by_the_job_with_one_entry_and_one_decision(world):
    [machine] = expired(world, 1)
    assert [one["does"] for one in sweep.foresee(now=timezone.now())] == ["terminate"]
    assert not Operation.objects.exists()
    assert run(timezone.now()) == {"due": 1, "ended": 1}
    operation = Operation.objects.get()
    assert operation.target_id == machine.pk
    entry = AuditLog.objects.get(action_type="WORKSPACE_TERMINATE")
    assert (entry.actor_kind, entry.interface) == ("JOB", "JOB")
    decision = machine.decisions.get(outcome="terminate")
    assert (decision.rule, decision.operation_id) == ("lifetime", operation.pk)
    assert decision.correlation_id == entry.correlation_id == operation.correlation_id
    assert run(timezone.now()) == {}


def test_what_is_kept_alive_stays_until_the_keep_alive_is_over(world):
    now = timezone.now()
    expired(world, 1, keep_alive=True, keep_alive_until=now + timedelta(hours=1))
    assert run(now) == {}
    assert run(now + timedelta(hours=2)) == {"due": 1, "ended": 1}


def test_what_is_kept_alive_without_an_end_stays(world):
    expired(world, 1, keep_alive=True)
    assert run(timezone.now() + timedelta(days=3000)) == {}


def test_stuck_machines_take_nobodys_place_in_the_run(world, settings):
    settings.FORGE_LIFECYCLE_AT_MOST = 1
    launched = timezone.now() - timedelta(days=2)
    ending = [(launched, "PENDING"), (launched, "AVAILABLE"), (launched, "TERMINATING")]
    expired(world, 1, history=ending)
    expired(world, 2)
    assert [run(timezone.now()).get("ended", 0) for _ in range(3)] == [1, 1, 0]


def test_a_machine_whose_time_is_not_over_stays(world):
    expired(world, 1, end_warned_at=None)
    WorkSpace.objects.update(max_lifetime_days=3)
    assert run(timezone.now()) == {"warned": 1}


# -- warned first ----------------------------------------------------------------------------------------------------
def launched_with(world, **facts):
    now = timezone.now()
    return machine_of(world, since=now, created_at=now, running_mode="ALWAYS_ON", **facts), now


def test_an_end_waits_for_the_whole_time_of_a_warning_that_a_pause_has_held_up(world, mailoutbox):
    machine, launched = launched_with(world, max_lifetime_days=30)
    paused = JobSwitch.objects.create(job="enforce_lifecycle", organization_id=world.organization.id)
    assert [run(launched + days * DAY) for days in range(34)] == [{}] * 34
    paused.delete()
    back = launched + 34 * DAY
    assert [one["does"] for one in sweep.foresee(now=back)] == ["warn"]
    assert run(back) == {"warned": 1}
    machine.refresh_from_db()
    assert machine.next_action_at == back + 7 * DAY
    assert "warned only at" in why(workspace=machine, now=back)["next"]["reason"]
    sending.send(now=back)
    [message] = mailoutbox
    assert f"Ends at: {machine.next_action_at:%Y-%m-%d %H:%M} UTC" in message.body
    assert run(back + 7 * DAY - timedelta(seconds=1)) == {}
    assert run(back + 7 * DAY) == {"due": 1, "ended": 1}


def test_a_machine_that_lives_no_longer_than_a_warning_takes_is_warned_of_at_its_launch(world):
    machine, launched = launched_with(world, max_lifetime_days=3)
    assert run(launched) == {"warned": 1}
    machine.refresh_from_db()
    assert machine.next_action_at == launched + 3 * DAY
    assert run(launched + 3 * DAY) == {"due": 1, "ended": 1}


def test_a_stale_machine_is_flagged_first_however_long_the_rules_rested(world):
    now = timezone.now()
    stopped(world, since=now, created_at=now, max_lifetime_days=365)
    back = now + 60 * DAY
    assert run(back) == {"due": 1, "flagged": 1}
    assert run(back + 7 * DAY - timedelta(seconds=1)) == {}
    assert run(back + 7 * DAY) == {"due": 1, "ended": 1}


def test_machines_that_wait_for_their_warning_take_nobodys_place_in_the_run(world, settings, monkeypatch):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 1, 0
    monkeypatch.setattr(sweep, "MOST_WARNINGS", 0)
    launched = timezone.now() - 40 * DAY
    first, second = engineers(world, 2)
    unwarned = {"since": launched, "running_mode": "ALWAYS_ON", "max_lifetime_days": 20}
    machine_of(world, owner=first, **unwarned)
    told = machine_of(world, owner=second, **unwarned | {"max_lifetime_days": 30, "end_warned_at": launched + 25 * DAY})
    assert run(timezone.now()) == {"due": 1, "ended": 1}
    assert Operation.objects.get().target_id == told.pk


@pytest.mark.parametrize("ended_by", ["rule", "person"])
def test_a_warning_that_was_held_up_until_the_end_has_begun_is_sent_where_a_rule_ends_it(world, mailoutbox, ended_by):
    [machine] = expired(world, 1, end_warned_at=None)
    now = timezone.now()
    assert run(now) == {"warned": 1}
    if ended_by == "rule":
        assert run(now + DAY) == {"due": 1, "ended": 1}
    else:
        services.terminate(actor=actor(machine.owner), workspace_id=machine.pk, now=now)
    WorkSpace.objects.update(state="TERMINATING")
    sending.send(now=now + DAY)
    assert [one.subject for one in mailoutbox] == (
        [f"Forge: your machine {machine.name} is being ended"] if ended_by == "rule" else []
    )


# -- keep-alive against the rule -----------------------------------------------------------------------------------
def keep(machine, *, now=None, **changes):
    now = now or timezone.now()
    wanted = {"until": now + timedelta(days=9), "reason": "thesis", **changes}
    return services.keep_alive(actor=actor(machine.owner), workspace_id=machine.pk, now=now, **wanted)


def extend(machine, **wanted):
    return services.extend(
        actor=actor(machine.owner), workspace_id=machine.pk, reason="thesis", now=timezone.now(), **wanted
    )


@pytest.mark.parametrize("rescue", ["kept alive", "given more time"])
def test_a_machine_that_is_rescued_while_the_rule_runs_stays(world, monkeypatch, rescue):
    [machine] = expired(world, 1)
    real = sweep.act

    def late(**asked):
        if rescue == "kept alive":
            keep(machine)
        else:
            extend(machine, days=5)
        return real(**asked)

    monkeypatch.setattr(sweep, "act", late)
    assert run(timezone.now()) == {"due": 1, "passed_over": 1}
    assert not Operation.objects.exists()


def test_a_machine_that_is_let_go_past_its_lifetime_is_ended_when_its_warning_is_a_week_old(world):
    [machine] = expired(world, 1, end_warned_at=timezone.now() - timedelta(days=3))
    now, late, week = timezone.now(), timedelta(minutes=5), timedelta(days=7)
    keep(machine, now=now)
    keep(machine, now=now, until=None, reason="")
    machine.refresh_from_db()
    assert (machine.let_go_at, machine.next_action_at, machine.warn_at) == (now, now + week, now)
    assert "kept alive until" in why(workspace=machine, now=now)["next"]["reason"]
    for again in (1, 0):  # to take away what is not there any more gains nothing
        assert run(now + late) == ({"warned": 1} if again else {})
        keep(machine, now=now + late, until=None, reason="")
    machine.refresh_from_db()
    assert (machine.let_go_at, machine.next_action_at) == (now, now + late + week)
    assert run(now + week + late - timedelta(seconds=1)) == {}
    assert run(now + week + late) == {"due": 1, "ended": 1}
    decision = machine.decisions.get(outcome="terminate")
    assert decision.inputs["let_go_at"] == now.isoformat()


def test_a_machine_that_was_let_go_while_the_rules_rested_is_warned_first(world):
    [machine] = expired(world, 1)
    now, week = timezone.now(), timedelta(days=7)
    keep(machine, now=now)
    keep(machine, now=now, until=None, reason="")
    later = now + 2 * week
    assert [one["does"] for one in sweep.foresee(now=later)] == ["warn"]
    assert run(later) == {"warned": 1}
    assert run(later + week) == {"due": 1, "ended": 1}


def test_a_keep_alive_calls_off_the_automatic_end_that_is_queued(world):
    [machine] = expired(world, 1)
    sweep.enforce(now=timezone.now())
    assert keep(machine).keep_alive
    assert Operation.objects.get().status == "cancelled"
    run_due(limit=10)
    machine.refresh_from_db()
    assert machine.state == "AVAILABLE"


def test_a_keep_alive_stops_the_worker_that_has_begun_with_the_automatic_end(world, monkeypatch):
    [machine] = expired(world, 1)
    sweep.enforce(now=timezone.now())

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
    sweep.enforce(now=timezone.now())
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
    machines = expired(world, 3)
    real = sweep.act

    def broken(**asked):
        if asked["workspace_id"] in (machines[0].pk, machines[1].pk):
            raise RuntimeError("one bad machine")
        return real(**asked)

    monkeypatch.setattr(sweep, "act", broken)
    now = timezone.now()
    with pytest.raises(sweep.LifecycleFailed) as failed:
        sweep.enforce(now=now)
    assert (failed.value.figures["failed"], failed.value.figures["ended"]) == (2, 1)
    assert run(now) == {}
    monkeypatch.setattr(sweep, "act", real)
    assert run(now + timedelta(hours=2)) == {"due": 2, "ended": 2}


def test_the_job_and_the_command_fail_when_a_machine_did(world, monkeypatch, capsys):
    expired(world, 1)

    def broken(**asked):
        raise RuntimeError("one bad machine")

    monkeypatch.setattr(sweep, "act", broken)
    with pytest.raises(CommandError, match="RuntimeError"):
        call_command("enforce_lifecycle")
    assert "failed 1" in capsys.readouterr().out
    WorkSpace.objects.update(put_off_until=None)
    with pytest.raises(sweep.LifecycleFailed):
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
        assert run(now)["ended"] == 1
        run_due(limit=1, now=now)
        machine.refresh_from_db()
        waits.append((machine.next_action_at - now).total_seconds() / 3600)
        now = machine.next_action_at
    assert waits == [1, 2, 4, 8, 16, 24]


def refused_stop(world, monkeypatch, *, runs_for, before, after=""):
    """How many hours a stop is put off that AWS refuses now, after `before` refusals in a row and a stop that went
    well `after` them, of a machine that was to be stopped for idleness after it ran for so many hours.
    """
    now = timezone.now()
    idle = machine_of(world, since=now - runs_for * HOUR)
    for number in range(before):
        past_stop(idle, now - (20 - number) * DAY, "failed")
    if after:
        past_stop(idle, now - DAY, "succeeded", spec={} if after == "person" else AUTOMATIC)
    idle_samples(idle, now)

    def denied(gateway, provider_id):
        raise aws.Invalid("AccessDeniedException", "no")

    shown = aws.Machine(idle.provider_id, "", "", "AVAILABLE", "", "", "", None, "")
    monkeypatch.setattr(aws.Gateway, "look", lambda self, known: shown)
    monkeypatch.setattr(aws.Gateway, "stop", denied)
    WorkSpace.objects.filter(pk=idle.pk).update(stop_warned_at=now - timedelta(minutes=10))
    assert run(now)["stopped"] == 1
    run_due(limit=1, now=now)
    idle.refresh_from_db()
    assert idle.state == "AVAILABLE"
    told = why(workspace=idle, now=now)
    assert told["stop_put_off_until"] == idle.stop_put_off_until
    assert any(one.startswith("No rule stops it before") for one in told["reasons"])
    return (idle.stop_put_off_until - now) / HOUR


def past_stop(machine, at, status, *, spec=AUTOMATIC):
    Operation.objects.create(
        organization_id=machine.organization_id,
        kind="workspace.stop",
        target_type="WorkSpace",
        target_id=machine.id,
        spec=spec,
        status=status,
        error={"code": "refused", "detail": "no"} if status == "failed" else {},
        correlation_id=uuid7(),
        next_attempt_at=None,
        finished_at=at,
        created_at=at,
    )


@pytest.mark.parametrize(("before", "after", "hours"), [(2, "", 4), (5, "", 24), (5, "rule", 1), (5, "person", 1)])
def test_a_stop_that_fails_is_put_off_by_the_failures_since_one_went_well(world, monkeypatch, before, after, hours):
    assert refused_stop(world, monkeypatch, runs_for=3, before=before, after=after) == hours


@pytest.mark.parametrize(("runs_for", "hours"), [(5, 5), (9, 1), (12, 1)])
def test_a_stop_that_fails_is_put_off_no_further_than_the_longest_run(world, monkeypatch, settings, runs_for, hours):
    """Past it for an hour, like what fails once."""
    settings.FORGE_SESSION_HOURS_AT_MOST = 10
    assert refused_stop(world, monkeypatch, runs_for=runs_for, before=5) == hours
