"""Machines changed in AWS's own console that are not there any more: their rows are left as they ended."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from costs import metering
from costs.models import CostRecord
from tests.workspaces.test_reconcile import change_in_aws, machine  # noqa: F401
from workspaces import drift, transitions
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile

JOB = Actor.job("reconcile")


def charged(workspace):
    return list(CostRecord.objects.filter(workspace=workspace).order_by("period_start").values())


@pytest.fixture
def now(machine):  # noqa: F811
    now = timezone.now() + timedelta(minutes=30)
    metering.ensure_months(now - timedelta(days=2), now + timedelta(days=40))
    metering.meter(now=now)
    return now


def test_a_machine_changed_and_ended_between_two_looks_is_charged_its_end_once(machine, now, simulator):  # noqa: F811
    change_in_aws(machine, running_mode="ALWAYS_ON")
    simulator.control.set_state(machine.provider_id, "TERMINATED")
    figures = reconcile(now=now)
    assert (figures["moved"], figures["drifted"]) == (1, 0)
    machine.refresh_from_db()
    assert (machine.state, machine.running_mode) == (State.TERMINATED, "AUTO_STOP")
    assert not machine.configuration_changes.exists()
    once = charged(machine)
    assert once
    for later in (timedelta(minutes=5), timedelta(hours=3)):
        metering.meter(now=now + later)
        assert charged(machine) == once


def test_one_look_follows_both_the_state_and_the_kind(machine, now, simulator):  # noqa: F811
    change_in_aws(machine, running_mode="ALWAYS_ON")
    simulator.control.set_state(machine.provider_id, "STOPPED")
    figures = reconcile(now=now)
    assert (figures["moved"], figures["drifted"]) == (1, 1)
    machine.refresh_from_db()
    assert (machine.state, machine.running_mode) == (State.STOPPED, "ALWAYS_ON")
    assert reconcile(now=now + timedelta(minutes=30))["drifted"] == 0


@pytest.mark.parametrize("state", [State.TERMINATED, State.STOPPED])
def test_what_another_run_has_moved_meanwhile_is_not_followed(machine, now, state):  # noqa: F811
    read = WorkSpace.objects.get(pk=machine.pk)
    with transaction.atomic():
        transitions.lock_scopes_of(machine.pk)
        locked = transitions.lock_machine(machine.pk)
        transitions.move(workspace=locked, target=state, occurred_at=now, reason="seen", actor=JOB, now=now)
    once = charged(machine)
    assert not drift.follow(read, {"user_volume_gb": read.user_volume_gb + 50}, actor=JOB, now=now)
    machine.refresh_from_db()
    assert (machine.version, machine.user_volume_gb) == (read.version, read.user_volume_gb)
    assert not machine.configuration_changes.exists()
    metering.meter(now=now)
    assert charged(machine) == once


def test_a_machine_that_is_being_ended_is_not_followed(machine, now):  # noqa: F811
    WorkSpace.objects.filter(pk=machine.pk).update(state=State.TERMINATING, state_since=now)
    read = WorkSpace.objects.get(pk=machine.pk)
    assert not drift.follow(read, {"running_mode": "ALWAYS_ON"}, actor=JOB, now=now)
