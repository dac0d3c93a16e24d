"""A fleet day by day: each rule fires on its day, over both changes of the clocks and Feb 29, and on no other."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time

import pytest
from django.db import connections

from forge.db import partitions
from tests.workspaces.rules import declared
from tests.workspaces.rules.lives import DAY, Life
from tests.workspaces.rules.walk import Walk
from workspaces import aws
from workspaces.models import Decision

TABLE = "workspaces_usagesample"
LAST = date(2028, 4, 8)
"""The sixty days before it have Feb 29, and changes of the clocks in both directions."""


@pytest.fixture(scope="module", autouse=True)
def months(django_db_setup, django_db_blocker):
    """Partitions for the months that are walked through; they go with the tests."""
    with django_db_blocker.unblock():
        made = partitions.ensure(TABLE, date(2027, 4, 1), date(2028, 5, 1))
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


def walked(world, monkeypatch, days: int, count: int) -> Walk:
    """`count` seats walked through so many days; team `bound` gets its ceiling after 25 of them."""
    until = datetime.combine(LAST, time(8), tzinfo=UTC)
    start = until - days * DAY
    bound_at = start + 25 * DAY
    seats = declared.seats(count, first=start.date() + DAY, until=until, bound_at=bound_at)
    walk = Walk(world, seats, start=start, until=until)
    monkeypatch.setattr(aws.Gateway, "connections", lambda _, ids: walk.cloud.connections(ids))
    monkeypatch.setattr(aws.Metrics, "read", lambda _, ids, **span: walk.cloud.read(ids, **span))
    walk.bind({"idle_minutes": declared.IDLE_OF_ORGANIZATION})
    walk.bind({"idle_minutes": declared.IDLE_OF_SHORT}, team="short")
    walk.bind({"session_hours": declared.RUN_OF_BRIEF}, family="brief")
    walk.bind({"lifetime_days": declared.LIFE_OF_LAB}, family="lab")
    walk.at(bound_at, lambda: walk.bind({"lifetime_days": declared.LIFE_OF_BOUND}, team="bound"))
    walk.go()
    return walk


def on_days(life: Life, fired) -> Counter:
    """How often each rule did what on which day, by the clocks where the person is."""
    return Counter((outcome, rule, at.astimezone(life.zone).date()) for outcome, rule, at in fired)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_each_rule_fires_on_its_day_and_on_no_other(world, scale, monkeypatch, settings):
    """Fifty machines over sixty days; at full count five hundred over a year."""
    count = scale(500, 50)
    settings.FORGE_LIFECYCLE_AT_MOST = count  # else what many seats have at the same minute waits for the next run
    walk = walked(world, monkeypatch, scale(366, 60), count)
    decided: dict = {machine_id: [] for machine_id in walk.machines}
    for machine_id, *fired in Decision.objects.values_list("workspace", "outcome", "rule", "decided_at"):
        decided[machine_id].append(tuple(fired))
    wrong, rules = [], Counter()
    for machine_id, life in walk.machines.items():
        must = [(one.outcome, one.rule, one.at) for one in life.expected]
        if on_days(life, decided[machine_id]) != on_days(life, must):
            wrong.append((life.kind, life.zone.key, life.launched_at, "on other days"))
        if missing := sorted(set(must) - set(decided[machine_id])):
            wrong.append((life.kind, life.zone.key, life.launched_at, "missing", missing[:3]))
        if extra := sorted(set(decided[machine_id]) - set(must)):
            wrong.append((life.kind, life.zone.key, life.launched_at, "too much", extra[:3]))
        rules.update((outcome, rule) for outcome, rule, _ in must)
    assert wrong == []
    assert set(rules) == {
        ("warned", "idle"),
        ("stop", "idle"),
        ("warned", "session"),
        ("stop", "session"),
        ("warned", "lifetime"),
        ("terminate", "lifetime"),
        ("flag", "stale"),
        ("terminate", "stale"),
    }
