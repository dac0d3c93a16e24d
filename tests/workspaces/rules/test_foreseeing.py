"""The dry run of the rules is the run: the same machines, the same things, in the same number."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.workspaces.rules.support import BUSY, idle_samples, machine, sample, stopped
from tests.world import actor, engineers
from workspaces import services
from workspaces.models import Decision, LifecyclePolicy
from workspaces.rules import policies, sweep

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def agreed(now):
    """What a run did, and before it the dry run told: [(machine, what, by which rule)] of both, sorted."""
    with CaptureQueriesContext(connection) as asked:
        told = sorted((one["workspace"], one["does"], one["rule"]) for one in sweep.foresee(now=now))
    assert not [query for query in asked if not query["sql"].lstrip().startswith(("SELECT", "DECLARE", "FETCH"))]
    before = set(Decision.objects.values_list("id", flat=True))
    sweep.enforce(now=now)
    made = Decision.objects.exclude(id__in=before)
    words = {"warned": "warn"}
    did = sorted((str(one.workspace_id), words.get(one.outcome, one.outcome), one.rule) for one in made)
    assert told == did
    return did


def test_under_the_bound_the_longest_due_come_first_as_in_the_run(world, now, settings):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 2, 1
    left = [stopped(world, owner=one, since=now - (40 + n) * DAY) for n, one in enumerate(engineers(world, 5))]
    assert {one for one, *_ in agreed(now)} == {str(left[4].pk), str(left[3].pk)}
    assert {one for one, *_ in agreed(now)} == {str(left[2].pk), str(left[1].pk)}


def test_warnings_take_no_place_of_an_end(world, now, settings):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 2, 1
    *warned, ended = engineers(world, 4)
    always = {"running_mode": "ALWAYS_ON", "last_activity_at": now}
    for person in warned:
        machine(world, owner=person, since=now - 84 * DAY, **always)
    machine(world, owner=ended, since=now - 91 * DAY, end_warned_at=now - 8 * DAY, **always)
    assert [does for _, does, _ in agreed(now)].count("warn") == 3


def test_an_idle_stop_that_lacks_samples_takes_its_place_in_both(world, now, settings):
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 1, 0
    busy, left = engineers(world, 2)
    machine(world, owner=busy, since=now - 5 * HOUR, stop_warned_at=now - HOUR)
    stopped(world, owner=left, since=now - 30 * DAY - MINUTE)
    assert agreed(now) == []
    assert [does for _, does, _ in agreed(now)] == ["flag"]


def test_no_more_warnings_are_foreseen_than_a_run_gives(world, now, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_WARNINGS", 2)
    for n, person in enumerate(engineers(world, 5)):
        machine(world, owner=person, since=now - (84 + n) * DAY, running_mode="ALWAYS_ON", last_activity_at=now)
    assert len(agreed(now)) == 2


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("seed", range(6))
def test_whatever_stands_there_both_agree_run_after_run(world, now, settings, monkeypatch, seed):
    monkeypatch.setattr(sweep, "LOOKED_AT_TOGETHER", 5)
    monkeypatch.setattr(sweep, "MOST_WARNINGS", 4)
    settings.FORGE_LIFECYCLE_AT_MOST, settings.FORGE_LIFECYCLE_PERCENT_AT_MOST = 3, 10
    dice = random.Random(seed)
    for person in engineers(world, 16):
        made = dice.choice([machine, stopped])(
            world,
            owner=person,
            since=now - dice.choice([2 * HOUR, 5 * HOUR, 29 * DAY, 31 * DAY, 38 * DAY, 84 * DAY, 95 * DAY]),
            running_mode=dice.choice(["AUTO_STOP", "AUTO_STOP", "ALWAYS_ON"]),
            max_lifetime_days=dice.choice([30, 90, 300]),
            end_warned_at=dice.choice([None, now - 8 * DAY, now - DAY]),
            stop_warned_at=dice.choice([None, now - HOUR]),
        )
        if dice.random() < 0.6:
            idle_samples(made, now, 4)
        elif dice.random() < 0.5:
            sample(made, now - 5 * MINUTE, cpu=BUSY)
        if dice.random() < 0.2 and made.running_mode == "AUTO_STOP":
            services.lease(actor=actor(person), workspace_id=made.pk, until=now + HOUR, reason="work", now=now)
    for hours in (0, 0, 0, 2, 2, 26):
        agreed(now + hours * HOUR)
        if hours == 2 and not LifecyclePolicy.objects.exists():
            policies.create_policy(
                actor=actor(world.admin),
                organization=world.organization,
                team=dice.choice([None, world.team]),
                ceilings={"lifetime_days": dice.choice([20, 60])},
                now=now + 2 * HOUR,
            )
