"""A fleet day by day: each rule fires on its day, over both changes of the clocks and Feb 29, and on no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connections

from forge.db import partitions
from tests.workspaces.rules import declared
from tests.workspaces.rules.lives import DAY, Life
from tests.workspaces.rules.walk import Walk
from workspaces.models import Decision, WorkSpace
from workspaces.simulator.client import Control
from workspaces.simulator.server import Simulator

TABLE = "workspaces_usagesample"
MEANING = {
    "AVAILABLE": "AVAILABLE",
    "ERROR": "AVAILABLE",  # keeps our state, and runs
    "STOPPED": "STOPPED",
    "GONE": "TERMINATED",
}
UNTIL = datetime(2028, 4, 8, 8, tzinfo=UTC)
"""The sixty days before it have Feb 29, and changes of the clocks in both directions."""
TEAM_IS_BOUND_AFTER = timedelta(days=25)


@pytest.fixture(scope="module", autouse=True)
def months(django_db_setup, django_db_blocker):
    """Partitions for the months that are walked through; they go with the tests."""
    with django_db_blocker.unblock():
        made = partitions.ensure(TABLE, date(2027, 4, 1), date(2028, 5, 1))
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def days(scale) -> int:
    return scale(366, 60)


@pytest.fixture
def simulator(settings, days) -> Iterator[Simulator]:
    """Its clock begins with the walk and stands still between its steps."""
    with Simulator(speed=0, start=(UNTIL - days * DAY).timestamp()) as running:
        settings.AWS_ENDPOINT_URL = running.url
        yield running


@pytest.fixture
def seats(scale, days) -> list[list[Life]]:
    """Fifty seats of all kinds and time zones; at full count five hundred."""
    start = UNTIL - days * DAY
    return declared.seats(scale(500, 50), first=start.date() + DAY, until=UNTIL, bound_at=start + TEAM_IS_BOUND_AFTER)


def walk_through(world, control: Control, days: int, seats: Sequence[Sequence[Life]]) -> Walk:
    """The seats walked through so many days; team `bound` gets its ceiling after 25 of them."""
    start = UNTIL - days * DAY
    walk = Walk(world, control=control, seats=seats, start=start, until=UNTIL)
    walk.bind({"idle_minutes": declared.IDLE_OF_ORGANIZATION})
    walk.bind({"idle_minutes": declared.IDLE_OF_SHORT}, team="short")
    walk.bind({"session_hours": declared.RUN_OF_BRIEF}, family="brief")
    walk.bind({"session_hours": declared.RUN_OF_MUTE}, family="mute")
    walk.bind({"lifetime_days": declared.LIFE_OF_LAB}, family="lab")
    bound_at = start + TEAM_IS_BOUND_AFTER
    walk.look_at(bound_at)
    walk.at(bound_at, lambda: walk.bind({"lifetime_days": declared.LIFE_OF_BOUND}, team="bound"))
    walk.go()
    return walk


def on_days(life: Life, fired) -> Counter:
    """How often each rule did what on which day, by the clocks where the person is."""
    return Counter((outcome, rule, at.astimezone(life.zone).date()) for outcome, rule, at in fired)


def test_every_rule_has_days_among_the_declared(seats):
    must = {(one.outcome, one.rule) for lives in seats for life in lives for one in life.expected}
    assert must == {
        ("warned", "idle"),
        ("stop", "idle"),
        ("warned", "session"),
        ("stop", "session"),
        ("warned", "lifetime"),
        ("terminate", "lifetime"),
        ("flag", "stale"),
        ("terminate", "stale"),
    }


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("zone", declared.ZONES, ids=str)
def test_each_rule_fires_on_its_day_and_aws_does_it(world, simulator, days, seats, settings, zone, half):
    """The seats of one time zone and of every other kind; the rest have moments, and simulators, of their own."""
    settings.FORGE_LIFECYCLE_AT_MOST = len(seats)  # else what many have at the same minute waits for the next run
    settings.FORGE_END_HOOKS = []  # what machines cost is the month's, tests/costs/month
    ours = [lives for number, lives in enumerate(seats) if lives[0].zone == zone and number % 2 == half]
    walk = walk_through(world, simulator.control, days, ours)
    assert_decided(walk)
    assert_done(walk, simulator.control)


def assert_decided(walk: Walk) -> None:
    """Each machine has the decisions that were reckoned, to the minute, and no other."""
    decided: dict = {machine_id: [] for machine_id in walk.machines}
    for machine_id, *fired in Decision.objects.values_list("workspace", "outcome", "rule", "decided_at"):
        decided[machine_id].append(tuple(fired))
    wrong = []
    for machine_id, life in walk.machines.items():
        must = [(one.outcome, one.rule, one.at) for one in life.expected]
        if on_days(life, decided[machine_id]) != on_days(life, must):
            wrong.append((life.kind, life.zone.key, life.launched_at, "on other days"))
        if missing := sorted(set(must) - set(decided[machine_id])):
            wrong.append((life.kind, life.zone.key, life.launched_at, "missing", missing[:3]))
        if extra := sorted(set(decided[machine_id]) - set(must)):
            wrong.append((life.kind, life.zone.key, life.launched_at, "too much", extra[:3]))
    assert wrong == []


def assert_done(walk: Walk, control: Control) -> None:
    """Each machine is where AWS has it, which has no other and was asked once for each stop and each end."""
    there = {one["workspace_id"]: MEANING[one["state"]] for one in control.machines()}
    assert dict(WorkSpace.objects.values_list("provider_id", "state")) == there
    assert len(there) == len(walk.machines)
    ends = Counter(one.outcome for life in walk.machines.values() for one in life.expected)
    asked = {one["operation"]: one["calls"] for one in control.traffic()}
    assert asked["CreateWorkspaces"] == len(walk.machines)
    assert asked["TerminateWorkspaces"] == ends["terminate"]
    assert asked["StopWorkspaces"] == ends["stop"]
