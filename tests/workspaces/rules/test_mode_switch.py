"""A machine that is switched from AlwaysOn to AutoStop: its longest run begins then, whoever switched it."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.utils import timezone

from audit.actors import Actor
from tests.workspaces.rules.support import BUSY, fresh, machine, run, sample
from workspaces import drift
from workspaces.models import WorkSpace
from workspaces.rules.why import why

MODES_OF_BEFORE = import_module("workspaces.migrations.0027_modes_of_before").FORWARD
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture(autouse=True)
def nobody_pays(settings):
    """What a switch costs is shown elsewhere, in months that have tables."""
    settings.FORGE_CHANGE_HOOKS = []


@pytest.fixture
def always_on(world, now):
    """A machine that has run for a month, and is in use."""
    launched = now - 30 * DAY
    return machine(world, since=launched, created_at=launched, running_mode="ALWAYS_ON", max_lifetime_days=365)


def by_forge(machine, now):
    WorkSpace.objects.filter(pk=machine.pk).update(running_mode="AUTO_STOP", configured_at=now)


def in_the_console_of_aws(machine, now):
    seen = fresh(machine)
    assert drift.follow(seen, {"running_mode": "AUTO_STOP"}, actor=Actor.job("reconcile_workspaces"), now=now)


def use(machine, at):
    sample(machine, at, cpu=BUSY, connected=True)
    sample(machine, at, cpu=None, connected=True, source="CONNECTION")
    WorkSpace.objects.filter(pk=machine.pk).update(last_activity_at=at, last_signal="connected", last_connected_at=at)


@pytest.mark.parametrize("switch", [by_forge, in_the_console_of_aws])
def test_a_machine_in_use_runs_on_for_its_longest_run(always_on, now, switch):
    assert run(now) == {}
    switch(always_on, now)
    for minutes in range(0, 60, 5):
        use(always_on, now + minutes * MINUTE)
        assert run(now + minutes * MINUTE) == {}
    told = why(workspace=fresh(always_on), now=now + DAY)
    assert told["hard_deadline"] == now + 7 * DAY
    use(always_on, now + 7 * DAY - 10 * MINUTE)
    assert run(now + 7 * DAY - 10 * MINUTE) == {"warned": 1}
    said = why(workspace=fresh(always_on), now=now + 7 * DAY - 10 * MINUTE)["next"]["reason"]
    assert f"since {now:%Y-%m-%d %H:%M} UTC" in said
    use(always_on, now + 7 * DAY)
    assert run(now + 7 * DAY) == {"due": 1, "stopped": 1}


def test_what_was_switched_before_that_was_noted_has_its_time_and_what_has_one_keeps_it(always_on, world, now):
    by_forge(always_on, now - DAY)
    assert fresh(always_on).mode_since == now - DAY
    with connection.cursor() as cursor:
        for known, filled in ((None, now - DAY), (now, now)):
            WorkSpace.objects.filter(pk=always_on.pk).update(mode_since=known)
            cursor.execute(MODES_OF_BEFORE)
            assert fresh(always_on).mode_since == filled
    unchanged = machine(world, since=now, created_at=now)
    assert fresh(unchanged).mode_since is None


def test_a_switch_counts_from_the_statement_where_nobody_says_when(always_on):
    WorkSpace.objects.filter(pk=always_on.pk).update(running_mode="AUTO_STOP")
    assert timezone.now() - fresh(always_on).mode_since < MINUTE


def test_what_else_is_changed_begins_no_new_run(world, now):
    running = machine(world, since=now - DAY, created_at=now - DAY)
    WorkSpace.objects.filter(pk=running.pk).update(user_volume_gb=100, auto_stop_timeout_minutes=120, configured_at=now)
    assert fresh(running).mode_since is None
    assert why(workspace=fresh(running), now=now)["hard_deadline"] == running.state_since + 7 * DAY


def test_a_start_after_the_switch_begins_a_run_of_its_own(always_on, now):
    by_forge(always_on, now - 20 * DAY)
    WorkSpace.objects.filter(pk=always_on.pk).update(state_since=now)
    assert why(workspace=fresh(always_on), now=now)["hard_deadline"] == now + 7 * DAY


def test_a_warning_from_before_the_switch_is_none(world, now):
    idle = machine(world, since=now - 3 * DAY, created_at=now - 3 * DAY, stop_warned_at=now - 2 * DAY)
    WorkSpace.objects.filter(pk=idle.pk).update(running_mode="ALWAYS_ON", configured_at=now - 2 * DAY + 5 * MINUTE)
    by_forge(idle, now)
    for n in range(3):
        sample(idle, now - n * 5 * MINUTE)
    assert run(now) == {"warned": 1}
    assert run(now + 9 * MINUTE) == {}
