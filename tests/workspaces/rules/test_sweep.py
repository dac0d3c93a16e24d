"""Runs of the rules over machines: what stops, what is flagged, what waits, and what is left alone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from tests import factories
from tests.workspaces.rules.support import BUSY, fresh, idle_samples, machine, run, sample, stopped
from tests.world import actor, engineers
from workspaces import services, tasks
from workspaces.models import Decision, LifecyclePolicy, UsageSample, WorkSpace
from workspaces.rules import policies, sweep
from workspaces.rules.why import why

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


# -- the idle stop -------------------------------------------------------------------------------------------------
def test_an_idle_machine_is_warned_first_and_stopped_ten_minutes_later(world, now):
    idle = machine(world, since=now - HOUR)
    idle_samples(idle, now)
    assert run(now) == {"warned": 1}
    assert fresh(idle).stop_warned_at == now
    assert fresh(idle).next_action_at == now + 10 * MINUTE
    later = now + 10 * MINUTE
    idle_samples(idle, later, 2)
    assert run(later) == {"due": 1, "stopped": 1}
    operation = Operation.objects.get()
    assert (operation.kind, operation.spec) == ("workspace.stop", {"automatic": True})
    entry = AuditLog.objects.get(action_type="WORKSPACE_STOP")
    assert entry.correlation_id == operation.correlation_id
    warned, decided = idle.decisions.order_by("id")
    assert (warned.rule, warned.outcome, decided.outcome) == ("idle", "warned", "stop")
    assert decided.inputs["evidence"]["idle_samples"] == 3
    assert decided.operation_id == operation.pk


def test_waiting_for_samples_holds_no_end_back(world, now):
    ending = machine(world, since=now - 2 * DAY, max_lifetime_days=3, end_warned_at=now - 2 * DAY)
    for minutes in range(0, 60, 5):
        run(now + 23 * HOUR + minutes * MINUTE)
    assert not Operation.objects.exists()
    assert run(now + DAY)["ended"] == 1
    assert Operation.objects.get().target_id == ending.pk


def test_without_samples_no_machine_is_stopped_for_idleness(world, now):
    idle = machine(world, since=now - 5 * HOUR)
    for rounds in range(12):
        assert run(now + rounds * 5 * MINUTE) == {}
    assert fresh(idle).stop_warned_at is None
    assert why(workspace=fresh(idle), now=now)["evidence"]["reason"] == "no samples of its use"


def test_without_samples_a_machine_is_stopped_when_its_longest_run_is_over(world, now, settings):
    settings.FORGE_SESSION_HOURS_AT_MOST = 2
    silent = machine(world, since=now)
    done = {minutes: run(now + minutes * MINUTE) for minutes in range(0, 125, 5)}
    assert {minutes: figures for minutes, figures in done.items() if figures} == {
        110: {"warned": 1},
        120: {"due": 1, "stopped": 1},
    }
    assert [one.rule for one in silent.decisions.all()] == ["session", "session"]


def test_a_stop_that_waits_for_its_warning_takes_no_place_of_one_that_can_be_done(world, now, monkeypatch):
    for owner in engineers(world, 3):
        idle_samples(machine(world, owner=owner, since=now - 2 * HOUR), now)
    monkeypatch.setattr(sweep, "MOST_WARNINGS", 1)
    assert [run(now), run(now)] == [{"warned": 1}, {"warned": 1}]


def test_warning_many_machines_takes_as_many_queries_as_warning_one(world, now):
    counts = []
    for count in (1, 6):
        for owner in engineers(world, count):
            idle_samples(machine(world, owner=owner, since=now - 2 * HOUR), now)
        with CaptureQueriesContext(connection) as asked:
            assert run(now) == {"warned": count}
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_one_missing_sample_never_stops_a_machine(world, now, gap):
    """Two samples say idle and the third is missing: nothing happens, whichever it is."""
    idle = machine(world, since=now - 3 * HOUR)
    for number in {0, 1, 2} - {gap}:
        sample(idle, now - 5 * (number + 1) * MINUTE)
    assert run(now) == {}
    assert not Operation.objects.exists()


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("width", [1, 30])
def test_a_hole_between_samples_stops_nothing_until_there_are_enough_after_it(world, now, missing, width):
    """Enough samples say idle, but of what was in the hole nobody knows."""
    idle = machine(world, since=now - 5 * HOUR)
    older = [number + width for number in range(missing, 6)]
    for number in [*range(missing), *older]:
        sample(idle, now - 5 * (number + 1) * MINUTE)
    assert run(now) == {}
    assert not Operation.objects.exists()
    later = fresh(idle).next_action_at
    said = why(workspace=fresh(idle), now=now)
    hole = f"none from {now - 5 * (older[0] + 1) * MINUTE:%H:%M} to {now - 5 * missing * MINUTE:%H:%M} UTC"
    assert said["evidence"]["idle_samples"] == missing
    assert said["evidence"]["reason"] == f"{missing} of 3 samples in a row say idle, and before them {hole}"
    idle_samples(idle, later, 3)
    assert run(later - 10 * MINUTE) == {"warned": 1}
    assert run(later)["stopped"] == 1


@pytest.mark.parametrize(
    "spoiled",
    [
        {"cpu": BUSY},
        {"connected": True},
        {"cpu": None},
        {"connected": None},
    ],
    ids=["busy", "connected", "no cpu", "no connection"],
)
def test_a_sample_that_does_not_say_idle_keeps_the_machine_running(world, now, spoiled):
    idle = machine(world, since=now - 3 * HOUR)
    idle_samples(idle, now, 5)
    UsageSample.objects.filter(at=now - 10 * MINUTE).update(**spoiled)
    assert run(now) == {}


def test_samples_that_are_too_old_or_of_an_earlier_run_prove_nothing(world, now):
    old, earlier = machine(world, since=now - 3 * HOUR), machine(world, owner=engineers(world, 1)[0], since=now)
    idle_samples(old, now - 20 * MINUTE)
    idle_samples(earlier, now)
    assert run(now) == {}
    assert run(now + 61 * MINUTE) == {}


def test_a_person_whom_aws_shows_connected_now_is_not_stopped_on_cloudwatchs_word(world, now):
    idle = machine(world, since=now - 3 * HOUR)
    idle_samples(idle, now)
    sample(idle, now - MINUTE, source="CONNECTION", connected=True, cpu=None)
    assert run(now) == {}


def test_use_between_the_warning_and_the_stop_keeps_it_running(world, now):
    idle = machine(world, since=now - HOUR)
    idle_samples(idle, now)
    assert run(now) == {"warned": 1}
    WorkSpace.objects.filter(pk=idle.pk).update(last_activity_at=now + 5 * MINUTE, last_signal="connected")
    idle_samples(idle, now + 15 * MINUTE)
    assert run(now + 15 * MINUTE) == {}
    assert fresh(idle).next_action_at == now + 65 * MINUTE


def test_the_longest_run_stops_a_machine_that_is_used_and_leased(world, now, settings):
    settings.FORGE_SESSION_HOURS_AT_MOST = 10
    used = machine(world, since=now - 10 * HOUR, last_activity_at=now, last_signal="connected")
    services.lease(actor=actor(world.engineer), workspace_id=used.pk, until=now + DAY, reason="training", now=now)
    assert run(now) == {"warned": 1}
    assert run(now + 10 * MINUTE) == {"due": 1, "stopped": 1}
    assert used.decisions.get(outcome="stop").rule == "session"


def test_an_always_on_machine_is_not_stopped(world, now):
    always = machine(world, since=now - 9 * HOUR, running_mode="ALWAYS_ON")
    idle_samples(always, now)
    assert run(now) == {}


# -- stale machines ------------------------------------------------------------------------------------------------
def test_a_machine_that_nobody_starts_is_flagged_then_ended_and_its_entry_says_when(world, now):
    left = stopped(world, since=now - 30 * DAY)
    assert run(now - MINUTE) == {}
    assert run(now) == {"due": 1, "flagged": 1}
    assert fresh(left).stale_notified_at == now
    entry = AuditLog.objects.get(action_type="WORKSPACE_STALE")
    assert entry.changes["after"]["stale_notified_at"]
    assert run(now + 7 * DAY - MINUTE) == {}
    assert run(now + 7 * DAY) == {"due": 1, "ended": 1}
    assert [one.outcome for one in left.decisions.order_by("id")] == ["flag", "terminate"]


def test_a_keep_alive_takes_the_flag_away(world, now):
    left = stopped(world, since=now - 30 * DAY)
    run(now)
    services.keep_alive(
        actor=actor(world.engineer), workspace_id=left.pk, until=now + 20 * DAY, reason="leave", now=now
    )
    assert fresh(left).stale_notified_at is None
    assert run(now + 10 * DAY) == {}
    assert run(now + 20 * DAY) == {"due": 1, "flagged": 1}


# -- how much a run may touch ----------------------------------------------------------------------------------------
def test_a_run_touches_no_more_than_the_larger_of_a_number_and_a_share(world, now, settings):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 2, 60
    for person in engineers(world, 5):
        stopped(world, owner=person, since=now - 40 * DAY)
    assert len(sweep.foresee(now=now)) == 3
    assert run(now) == {"due": 3, "flagged": 3, "held_back": 2}
    assert run(now) == {"due": 2, "flagged": 2}


def test_a_paused_job_does_nothing_and_a_paused_organization_keeps_its_machines(world, now):
    left = stopped(world, since=now - 40 * DAY)
    switch = JobSwitch.objects.create(job=sweep.JOB, organization_id=None, is_paused=True)
    assert tasks.enforce_lifecycle() is None
    assert JobRun.objects.get().outcome == "PAUSED"
    assert fresh(left).stale_notified_at is None
    switch.organization_id = world.organization.id
    switch.save()
    assert run(now) == {}
    switch.is_paused = False
    switch.save()
    assert run(now) == {"due": 1, "flagged": 1}


def test_a_dry_run_lists_what_it_would_do_and_why_and_changes_nothing(world, now, capsys):
    left = stopped(world, since=now - 40 * DAY)
    call_command("enforce_lifecycle", "--dry-run", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["would"] == 1
    assert told["actions"][0] | {"at": ""} == {
        "workspace": str(left.pk),
        "does": "flag",
        "of": "flag",
        "rule": "stale",
        "at": "",
        "why": "nobody has started it for a long time",
    }
    call_command("enforce_lifecycle", "--dry-run")
    assert f"{left.pk} flag (flag, stale" in capsys.readouterr().out
    assert fresh(left).is_unreckoned
    assert not Decision.objects.exists()


def test_a_dry_run_shows_what_a_new_policy_would_do(world, now):
    machine(world, since=now - 50 * DAY, running_mode="ALWAYS_ON", last_activity_at=now)
    run(now)
    assert sweep.foresee(now=now) == []
    policies.create_policy(
        actor=actor(world.admin), organization=world.organization, ceilings={"lifetime_days": 10}, now=now
    )
    assert [one["does"] for one in sweep.foresee(now=now)] == ["warn"]
    assert [one["does"] for one in sweep.foresee(now=now + 8 * DAY)] == ["warn"]
    run(now)
    assert [one["does"] for one in sweep.foresee(now=now + 8 * DAY)] == ["terminate"]


# -- policies --------------------------------------------------------------------------------------------------------
def test_a_changed_policy_reaches_its_machines_with_the_next_run_in_chunks(world, now, monkeypatch):
    monkeypatch.setattr("workspaces.rules.reckoning.CHUNK", 2)
    machines = [
        machine(world, owner=person, since=now, auto_stop_timeout_minutes=600) for person in engineers(world, 5)
    ]
    run(now)
    assert {fresh(one).next_action_at for one in machines} == {now + 10 * HOUR}
    policy = policies.create_policy(
        actor=actor(world.admin),
        organization=world.organization,
        blueprint_name=world.blueprint.name,
        ceilings={"idle_minutes": 30},
        now=now,
    )
    run(now)
    assert {fresh(one).next_action_at for one in machines} == {now + 30 * MINUTE}
    assert LifecyclePolicy.objects.get().is_spread
    policies.change_policy(actor=actor(world.admin), policy_id=policy.pk, ceilings={"idle_minutes": None}, now=now)
    run(now)
    assert {fresh(one).next_action_at for one in machines} == {now + 10 * HOUR}


def test_the_smallest_ceiling_wins_and_why_says_whose_it_is(world, now):
    bound = machine(world, since=now, auto_stop_timeout_minutes=600, max_lifetime_days=300)
    admin = actor(world.admin)
    for scope, minutes in (({}, 90), ({"team": world.team}, 45), ({"blueprint_name": world.blueprint.name}, 60)):
        policies.create_policy(
            actor=admin, organization=world.organization, ceilings={"idle_minutes": minutes}, now=now, **scope
        )
    told = why(workspace=bound, now=now)
    assert told["ceilings"]["idle_minutes"] == {
        "own": 600,
        "at_most": 45,
        "ceiling": f"team {world.team.slug}",
        "in_force": 45,
        "source": f"team {world.team.slug}",
    }
    assert told["ceilings"]["lifetime_days"]["source"] == "machine"
    assert told["next"]["at"] == now + 45 * MINUTE


# -- rows that must not be lost, and marks -----------------------------------------------------------------------------
@pytest.mark.django_db
def test_whoever_changes_what_the_next_action_follows_from_marks_the_machine(world, now):
    changed = machine(world, since=now)
    for column, value in (
        ("keep_alive", True),
        ("max_lifetime_days", 9),
        ("last_activity_at", now),
        ("put_off_until", now),
        ("state", "STOPPED"),
        ("auto_stop_timeout_minutes", 90),
    ):
        run(now)
        assert not fresh(changed).is_unreckoned
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE workspaces_workspace SET {column} = %s", [value])
        assert fresh(changed).is_unreckoned, column
    run(now)
    WorkSpace.objects.update(cost_to_date=5)
    assert not fresh(changed).is_unreckoned


def test_decisions_and_leases_are_append_only(world, now):
    left = stopped(world, since=now - 40 * DAY)
    services.lease(actor=actor(world.engineer), workspace_id=left.pk, until=now + HOUR, reason="a", now=now)
    run(now)
    for table in ("workspaces_decision", "workspaces_worklease"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET id = id"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
    assert Decision.objects.count() == 1


def test_a_run_that_is_killed_after_each_statement_leaves_a_whole_machine_or_none(world, now, monkeypatch):
    """The decision, the flag and the entry are one transaction: without one of them there is none of them."""
    left = stopped(world, since=now - 40 * DAY)

    class Killed(BaseException):
        pass

    def dies(*args, **kwargs):
        raise Killed

    for victim in ("workspaces.rules.acting._decide", "workspaces.rules.acting.record"):
        with monkeypatch.context() as patched:
            patched.setattr(victim, dies)
            with pytest.raises(Killed):
                sweep.enforce(now=now)
        assert fresh(left).stale_notified_at is None
        assert not Decision.objects.exists()
        assert not AuditLog.objects.filter(action_type="WORKSPACE_STALE").exists()
    assert run(now) == {"due": 1, "flagged": 1}


# -- statements ------------------------------------------------------------------------------------------------------
def test_reckoning_takes_as_many_statements_for_a_hundred_machines_as_for_one(world, now):
    def statements(count):
        for person in engineers(world, count):
            machine(world, owner=person, since=now)
        with CaptureQueriesContext(connection) as queries:
            assert sweep.reckon(now=now) == count
        return len(queries)

    assert statements(1) == statements(100)


def test_machines_are_locked_in_the_order_of_their_ids_before_they_are_changed(world, now):
    idle = machine(world, since=now - HOUR)
    idle_samples(idle, now)
    with CaptureQueriesContext(connection) as queries:
        run(now)
    text = [query["sql"] for query in queries]
    first = next(n for n, sql in enumerate(text) if "FOR NO KEY UPDATE" in sql and "workspaces_workspace" in sql)
    assert 'ORDER BY "workspaces_workspace"."id" ASC' in text[first]
    assert not any(sql.lstrip().startswith("UPDATE workspaces_workspace") for sql in text[:first])


@pytest.mark.parametrize(
    ("column", "index"), [("next_action_at", "workspaces_due_action"), ("warn_at", "workspaces_due_warning")]
)
def test_what_is_due_is_found_by_an_index(world, now, column, index):
    factories.WorkSpaceFactory(organization=world.organization, team=world.team)
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = sweep._free().filter(**{f"{column}__lte": now}).order_by(column, "id")[:50].explain()
    assert index in plan
