"""Sampling use from the simulator: samples are written once, the newest sign of use moves deadlines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from forge.db.months import add_months, month_of
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests.workspaces.rules.support import fresh, machine, run
from tests.workspaces.support import launch
from tests.workspaces.support import machine as only_machine
from workspaces import aws, tasks
from workspaces.models import LifecyclePolicy, UsageSample, WorkSpace
from workspaces.rules import usage

MINUTE = timedelta(minutes=1)


@pytest.fixture
def launched(world, clock, simulator):
    """A machine that runs, and a clock that is the simulator's from then on."""
    operation = launch(world, clock)
    assert clock.finish(operation).status == "succeeded"
    clock.now = datetime.fromtimestamp(simulator.control.health()["now"], UTC)
    WorkSpace.objects.update(state_since=clock.now)
    return only_machine()


def advance(clock, simulator, minutes):
    simulator.control.advance(minutes * 60)
    clock.now = datetime.fromtimestamp(simulator.control.health()["now"], UTC)


def test_a_running_machine_has_a_sample_each_five_minutes_once_however_often_it_is_asked(launched, clock, simulator):
    advance(clock, simulator, 16)
    first = usage.collect(now=clock.now)
    assert (first["machines"], first["active"]) == (1, 0)
    count = UsageSample.objects.count()
    assert usage.collect(now=clock.now)["samples"] == 0
    assert UsageSample.objects.count() == count
    measured = UsageSample.objects.filter(source="CLOUDWATCH").order_by("-at")
    assert len(measured) >= 3
    assert {(one.connected, one.cpu < 10, one.in_session_latency) for one in measured} == {(False, True, None)}
    assert measured[0].memory > 0
    assert UsageSample.objects.get(source="CONNECTION").connected is False


@pytest.fixture
def first_of_a_month(clock, simulator):
    """Four minutes after the beginning of one for which, and for the one before, nothing has made a partition."""
    month = add_months(month_of(clock.now), 14)
    yield datetime(month.year, month.month, 1, 0, 4, tzinfo=UTC)
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf", [usage.TABLE])
        for name in [name for (name,) in cursor.fetchall() if name > f"{usage.TABLE}_{add_months(month, -8):%Y_%m}"]:
            cursor.execute(f"DROP TABLE {name}")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_samples_of_the_month_before_have_their_place_on_a_new_installation(
    launched, clock, simulator, first_of_a_month
):
    simulator.control.connect(launched.provider_id)
    advance(clock, simulator, (first_of_a_month - clock.now) / MINUTE)
    usage.collect(now=clock.now)
    filed = {(one.year, one.month) for one in UsageSample.objects.values_list("at", flat=True)}
    before = first_of_a_month - timedelta(days=1)
    assert filed == {(before.year, before.month), (first_of_a_month.year, first_of_a_month.month)}


def test_a_connection_is_a_sign_of_use_and_written_once_a_twentieth_of_the_timeout_has_passed(
    launched, clock, simulator
):
    simulator.control.connect(launched.provider_id)
    advance(clock, simulator, 6)
    assert usage.collect(now=clock.now)["active"] == 1
    used = fresh(launched)
    assert (used.last_signal, used.last_activity_at) == ("connected", clock.now)
    assert usage.collect(now=clock.now + 2 * MINUTE)["active"] == 0
    assert usage.collect(now=clock.now + 3 * MINUTE)["active"] == 1


def test_under_a_ceiling_use_is_written_as_often_as_the_time_in_force_asks(launched, clock, simulator):
    """A twentieth of the machine's own two days is longer than the ceiling's hour: use would count for nothing."""
    WorkSpace.objects.update(auto_stop_timeout_minutes=2880)
    LifecyclePolicy.objects.create(organization=launched.organization, idle_minutes=60)
    simulator.control.connect(launched.provider_id)
    for _ in range(3):
        advance(clock, simulator, 6)
        usage.collect(now=clock.now)
        assert fresh(launched).last_activity_at == clock.now


def test_use_since_a_warning_is_written_however_little_newer_it_is(launched, clock, simulator):
    """It voids the warning, which it could not do unwritten."""
    simulator.control.connect(launched.provider_id)
    advance(clock, simulator, 6)
    usage.collect(now=clock.now)
    WorkSpace.objects.update(auto_stop_timeout_minutes=2880, stop_warned_at=clock.now + MINUTE)
    advance(clock, simulator, 6)
    usage.collect(now=clock.now)
    assert fresh(launched).last_activity_at == clock.now
    seen = clock.now
    advance(clock, simulator, 6)  # no warning is newer than this use, so more of it waits again
    usage.collect(now=clock.now)
    assert fresh(launched).last_activity_at == seen


def test_when_people_were_last_connected_is_kept_to_the_second_however_long_the_idle_time(launched, clock, simulator):
    WorkSpace.objects.update(auto_stop_timeout_minutes=2880)  # a twentieth of it are more than two hours
    simulator.control.connect(launched.provider_id)
    seen = []
    for _ in range(2):
        advance(clock, simulator, 6)
        usage.collect(now=clock.now)
        seen.append(clock.now)
        assert fresh(launched).last_connected_at == clock.now
    assert fresh(launched).last_activity_at == seen[0]
    simulator.control.disconnect(launched.provider_id)
    left_at = datetime.fromtimestamp(simulator.control.health()["now"], UTC)
    for _ in range(2):
        advance(clock, simulator, 6)
        usage.collect(now=clock.now)
        assert abs(fresh(launched).last_connected_at - left_at) < timedelta(seconds=1)


def test_an_older_word_of_a_connection_takes_nothing_back(launched, clock, simulator):
    simulator.control.connect(launched.provider_id)
    advance(clock, simulator, 6)
    WorkSpace.objects.update(last_connected_at=clock.now + MINUTE)
    usage.collect(now=clock.now)
    assert fresh(launched).last_connected_at == clock.now + MINUTE


def test_an_idle_machine_in_aws_is_warned_stopped_and_stopped_there(launched, clock, simulator):
    """After 30 minutes, which AWS itself does not know: its own AutoStop counts whole hours."""
    WorkSpace.objects.update(auto_stop_timeout_minutes=30)
    stopped = False
    for _ in range(18):
        advance(clock, simulator, 5)
        usage.collect(now=clock.now)
        run(clock.now)
        stopped = Operation.objects.filter(kind="workspace.stop").exists()
        if stopped:
            break
    assert stopped
    assert 30 * MINUTE <= clock.now - fresh(launched).state_since <= 45 * MINUTE
    for _ in range(10):
        run_due(limit=5, now=clock.now)
        advance(clock, simulator, 1)
    assert fresh(launched).state == "STOPPED"
    run(clock.now)
    assert fresh(launched).next_action == "flag"


def test_an_account_that_does_not_answer_is_told_of_and_connections_are_kept(launched, clock, simulator, monkeypatch):
    def denied(*args, **kwargs):
        raise aws.Invalid("AccessDenied", "no")

    monkeypatch.setattr(aws.Metrics, "read", denied)
    with pytest.raises(usage.UsageNotCollected) as failed:
        usage.collect(now=clock.now)
    assert failed.value.figures["unreachable"] == 1
    assert UsageSample.objects.get().source == "CONNECTION"


def test_the_calls_are_forty_and_eight_for_a_thousand_machines(world, simulator, monkeypatch):
    place = aws.Place(region="us-east-1", account="123456789012", is_simulated=True)
    calls = []
    metrics = aws.Metrics(place, before_call=lambda: calls.append(1))
    monkeypatch.setattr("workspaces.aws.pace.wait_for_turn", lambda *_: None)
    now = datetime.now(UTC)
    assert metrics.read([f"ws-{n:09d}" for n in range(1000)], since=now - 15 * MINUTE, until=now) == []
    assert len(calls) == 8
    aws.Gateway(place, before_call=lambda: calls.append(1)).connections([f"ws-{n:09d}" for n in range(1000)])
    assert len(calls) == 48


def test_the_task_takes_its_slot(world):
    machine(world, provider_id="")
    assert tasks.collect_usage() == {"machines": 0, "samples": 0, "active": 0, "unreachable": 0, "failed": 0}
    assert tasks.collect_usage() is None
