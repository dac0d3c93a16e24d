"""A work lease holds AWS's own AutoStop back too, and its end lets go of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from tests.workspaces.support import launch, machine
from tests.workspaces.test_bulk import running
from tests.world import actor
from workspaces import autostop, aws, services
from workspaces.autostop import held_in_aws_until, minutes_wanted
from workspaces.lifecycle import State
from workspaces.models import WorkLease, WorkSpace
from workspaces.places import known, place_of
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def launched(world, clock):
    assert clock.finish(launch(world, clock)).status == "succeeded"
    return machine()


@pytest.fixture
def leased(world, launched):
    """A machine that runs, and a lease of twenty hours on it from now on."""
    now = timezone.now()
    answer = services.lease(
        actor=actor(world.engineer), workspace_id=launched.pk, until=now + 20 * HOUR, reason="training", now=now
    )
    assert answer.held_in_aws_until == answer.lease.until
    return answer.lease


def minutes_in_aws(one):
    return aws.Gateway(place_of(one.provider_account)).look(known(one)).auto_stop_minutes


def test_aws_waits_as_long_as_the_lease_lasts_and_no_longer(leased, launched, simulator):
    assert minutes_in_aws(launched) == 60
    given = leased.created_at
    assert reconcile(now=given + MINUTE)["auto_stops"] == 1
    assert minutes_in_aws(launched) == 60 + 20 * 60
    simulator.control.advance(20 * 3600)
    later = reconcile(now=given + 19 * HOUR)
    assert (later["auto_stops"], later["moved"]) == (0, 0)
    launched.refresh_from_db()
    assert (launched.state, launched.auto_stop_timeout_minutes) == (State.AVAILABLE, 60)
    assert reconcile(now=leased.until)["auto_stops"] == 1
    assert minutes_in_aws(launched) == 60
    assert reconcile(now=leased.until)["auto_stops"] == 0
    told = AuditLog.objects.filter(action_type="WORKSPACE_AUTO_STOP").order_by("id")
    assert [entry.changes["after"]["minutes_in_aws"] for entry in told] == [1260, 60]
    assert {entry.context["lease_id"] for entry in told} == {str(leased.id)}


def test_a_dry_run_tells_aws_nothing(leased, launched):
    assert reconcile(now=leased.created_at, dry_run=True)["auto_stops"] == 1
    assert minutes_in_aws(launched) == 60
    assert not AuditLog.objects.filter(action_type="WORKSPACE_AUTO_STOP").exists()


def test_what_aws_refuses_is_said_and_asked_for_again(leased, launched, monkeypatch):
    def refuse(*_):
        raise aws.Invalid("InvalidParameterValuesException", "no")

    with monkeypatch.context() as broken:
        broken.setattr(aws.Gateway, "modify", refuse)
        with pytest.raises(ReconcileFailed) as failed:
            reconcile(now=leased.created_at)
    assert (failed.value.figures["failed"], failed.value.figures["seen"]) == (1, 1)
    assert reconcile(now=leased.created_at)["auto_stops"] == 1
    assert minutes_in_aws(launched) == 60 + 20 * 60
    assert AuditLog.objects.filter(action_type="WORKSPACE_AUTO_STOP").count() == 1


class Killed(BaseException):
    """The worker is gone."""


@pytest.mark.parametrize("when", ["before the call", "after the call"])
def test_a_time_that_aws_has_is_written_down_whenever_the_worker_dies(leased, launched, monkeypatch, when):
    modify = aws.Gateway.modify

    def die(*asked):
        if when == "after the call":
            modify(*asked)
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(aws.Gateway, "modify", die)
        with pytest.raises(Killed):
            reconcile(now=leased.created_at)
    told = AuditLog.objects.filter(action_type="WORKSPACE_AUTO_STOP")
    assert told.get().changes == {"before": {"minutes_in_aws": 60}, "after": {"minutes_in_aws": 1260}}
    for _ in range(2):
        reconcile(now=leased.created_at)
    launched.refresh_from_db()
    assert (minutes_in_aws(launched), launched.auto_stop_asked_minutes, told.count()) == (1260, None, 1)
    # What somebody puts back in AWS's own console is another change, with an entry of its own.
    aws.Gateway(place_of(launched.provider_account)).modify(launched.provider_id, {"auto_stop_timeout_minutes": 60})
    reconcile(now=leased.created_at)
    assert (minutes_in_aws(launched), told.count()) == (1260, 2)


def test_aws_is_not_asked_for_what_could_not_be_written_down(leased, launched, monkeypatch):
    def broken(**_):
        raise RuntimeError("no lane")

    monkeypatch.setattr(autostop, "record", broken)
    with pytest.raises(ReconcileFailed):
        reconcile(now=leased.created_at)
    launched.refresh_from_db()
    assert (minutes_in_aws(launched), launched.auto_stop_asked_minutes) == (60, None)


def test_a_modification_that_was_asked_for_meanwhile_is_left_alone(leased, launched, world):
    """A look tells one machine after the other, and each call may wait for its turn."""
    gateway = aws.Gateway(place_of(launched.provider_account))
    shown = {launched.provider_id: gateway.look(known(launched))}
    [(one, minutes, lease)] = autostop.unlike([launched], shown, now=leased.created_at)
    wanted = {"auto_stop_timeout_minutes": 120}
    services.modify(actor=actor(world.engineer), workspace_id=launched.pk, wanted=wanted, now=leased.created_at)
    job = Actor.job("reconcile_workspaces")
    told = autostop.tell(one, minutes, lease, before=60, gateway=gateway, actor=job, now=leased.created_at)
    assert not told
    assert minutes_in_aws(launched) == 60
    assert not AuditLog.objects.filter(action_type="WORKSPACE_AUTO_STOP").exists()


def test_a_machine_that_was_never_leased_keeps_the_time_that_aws_has(launched):
    aws.Gateway(place_of(launched.provider_account)).modify(launched.provider_id, {"auto_stop_timeout_minutes": 120})
    assert reconcile(now=timezone.now())["auto_stops"] == 0
    assert minutes_in_aws(launched) == 120


@pytest.mark.parametrize(
    ("own", "length", "minutes", "held"),
    [
        (30, HOUR, 120, HOUR),
        (60, 61 * MINUTE, 180, 61 * MINUTE),
        (60, 100 * HOUR, 2880, 47 * HOUR),
        (2880, HOUR, 2880, 0 * HOUR),
    ],
)
def test_the_time_is_the_machines_own_and_the_lease_on_top_up_to_two_days(own, length, minutes, held):
    given = timezone.now()
    lease = WorkLease(created_at=given, until=given + length)
    assert minutes_wanted(own, lease, now=given) == minutes
    assert minutes_wanted(own, lease, now=lease.until) == minutes_wanted(own, None, now=given)
    assert held_in_aws_until(own, lease) == given + held


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "throttling", "access_denied"])
def test_a_machine_whose_time_cannot_be_set_keeps_no_other_from_its_turn(world, simulator, clock, kind):
    leased, other, gone = running(world, clock, 3)
    for one in (leased, other):
        until = clock.now + 8 * HOUR
        services.lease(actor=actor(one.owner), workspace_id=one.pk, until=until, reason="training", now=clock.now)
    simulator.control.vanish(gone.provider_id)
    simulator.control.fault(kind, operation="ModifyWorkspaceProperties", count=99)
    with pytest.raises(ReconcileFailed, match=f"machine ({leased.pk}|{other.pk})") as failed:
        reconcile(now=clock.now)
    assert (failed.value.figures["vanished"], failed.value.figures["unreachable"]) == (1, 0)
    assert failed.value.figures["failed"] == (1 if kind == "throttling" else 2)  # the other is not even asked for
    assert set(WorkSpace.objects.exclude(pk=gone.pk).values_list("auto_stop_asked_minutes", flat=True)) == (
        {540, None} if kind == "throttling" else {540}
    )
    simulator.control.withdraw_faults()
    reconcile(now=clock.now + MINUTE)
    assert [minutes_in_aws(one) for one in (leased, other)] == [540, 540]
