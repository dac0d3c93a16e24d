"""Lifetime ceilings that are changed, loosened, tightened or joined by others: no change puts off an end but by what it
allows, and none ends a machine without the time of a warning.
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.workspaces.rules.support import fresh, machine, run
from tests.world import actor
from workspaces.models import LifecyclePolicy
from workspaces.rules.ceilings import smallest
from workspaces.rules.deadlines import lifetime_bound
from workspaces.rules.policies import change_policy, create_policy, relimit
from workspaces.rules.settings import terms
from workspaces.rules.why import why

CEILINGS_OF_BEFORE = import_module("workspaces.migrations.0023_lifetime_ceilings_of_before").FORWARD
DAY = timedelta(days=1)
WEEK = 7 * DAY


@pytest.fixture
def now():
    return timezone.now()


def old(world, now, *, days):
    """A machine that runs without a rule that stops it, launched so many days ago, with a year to live."""
    launched = now - days * DAY
    return machine(world, since=launched, created_at=launched, running_mode="ALWAYS_ON", max_lifetime_days=365)


def policy(world, at, *, team=None, **ceilings):
    return create_policy(
        actor=actor(world.admin), organization=world.organization, team=team, ceilings=ceilings, now=at
    )


def change(world, policy, at, **ceilings):
    change_policy(actor=actor(world.admin), policy_id=policy.pk, ceilings=ceilings, now=at)


def end_of(machine, at):
    return why(workspace=fresh(machine), now=at)["lifetime_end"]


def test_another_ceiling_of_the_policy_puts_no_end_off(world, now):
    over = old(world, now, days=60)
    held = policy(world, now, lifetime_days=30, idle_minutes=60)
    assert run(now + timedelta(minutes=1)) == {"warned": 1}
    change(world, held, now + 6 * DAY, idle_minutes=61)
    assert end_of(over, now + 6 * DAY) == now + WEEK
    held.refresh_from_db()
    assert held.effective_at == now + 6 * DAY
    assert run(now + WEEK + timedelta(minutes=1)) == {"due": 1, "ended": 1}


def test_a_ceiling_that_is_loosened_puts_an_end_off_by_no_more_than_it_allows(world, now):
    over = old(world, now, days=60)
    held = policy(world, now, lifetime_days=30)
    change(world, held, now + 6 * DAY, lifetime_days=40)
    assert end_of(over, now + 6 * DAY) == now + WEEK
    change(world, held, now + 6 * DAY, lifetime_days=68)
    assert end_of(over, now + 6 * DAY) == now + 8 * DAY
    change(world, held, now + 6 * DAY, lifetime_days=None)
    assert end_of(over, now + 6 * DAY) == over.created_at + 365 * DAY


def test_a_ceiling_that_is_tightened_puts_no_announced_end_off(world, now):
    over = old(world, now, days=98)
    held = policy(world, now - 50 * DAY, lifetime_days=100)
    for n, days in enumerate((90, 80, 70)):
        change(world, held, now + n * timedelta(hours=1), lifetime_days=days)
    assert end_of(over, now + DAY) == now + 2 * DAY
    change(world, held, now + DAY, lifetime_days=100)
    held.refresh_from_db()
    assert (held.lifetime_since, held.lifetime_before) == (now - 50 * DAY, [])
    assert end_of(over, now + DAY) == now + 2 * DAY


def test_a_tighter_ceiling_of_the_team_puts_no_announced_end_off(world, now):
    over = old(world, now, days=99)
    policy(world, now - 50 * DAY, lifetime_days=100)
    assert run(now - 5 * DAY) == {"warned": 1}
    announced = why(workspace=fresh(over), now=now)["next"]["at"]
    assert announced == now + 2 * DAY
    policy(world, now, team=world.team, lifetime_days=60)
    told = why(workspace=fresh(over), now=now)
    assert told["next"]["at"] == announced
    assert "(organization)" in told["next"]["reason"]
    assert told["ceilings"]["lifetime_days"]["source"] == f"team {world.team.slug}"
    assert run(announced) == {"due": 1, "ended": 1}


def test_a_tighter_ceiling_still_leaves_the_time_of_a_warning(world, now):
    over = old(world, now, days=80)
    policy(world, now - 50 * DAY, lifetime_days=100)
    policy(world, now, team=world.team, lifetime_days=60)
    assert end_of(over, now) == now + WEEK
    assert run(now) == {"warned": 1}
    assert run(now + WEEK - timedelta(seconds=1)) == {}
    assert run(now + WEEK) == {"due": 1, "ended": 1}


CHANGES = st.lists(
    st.tuples(st.none() | st.integers(1, 60), st.timedeltas(timedelta(0), timedelta(days=20))), min_size=1, max_size=8
)


@given(changes=CHANGES, age=st.integers(0, 80))
def test_whatever_is_changed_an_end_moves_only_as_far_as_the_ceiling_now_allows(changes, age):
    start = timezone.now()
    created, own = start - age * DAY, 365 * DAY
    held = LifecyclePolicy(lifetime_days=None, lifetime_before=[])
    before, at = created + own, start
    for days, pause in changes:
        at += pause
        relimit(held, days, at)
        end, _ = lifetime_bound(created, own, smallest([held]), terms())
        allowed = created + (own if days is None else days * DAY)
        assert allowed <= end <= max(before, allowed)
        assert end >= min(before, at + WEEK)
        before = end


def test_a_policy_of_before_counts_its_lifetime_from_when_it_last_took_effect(world, now):
    made = policy(world, now - 9 * DAY, lifetime_days=30)
    LifecyclePolicy.objects.filter(pk=made.pk).update(lifetime_since=now)
    with connection.cursor() as cursor:
        cursor.execute(CEILINGS_OF_BEFORE)
    assert LifecyclePolicy.objects.get(pk=made.pk).lifetime_since == now - 9 * DAY
