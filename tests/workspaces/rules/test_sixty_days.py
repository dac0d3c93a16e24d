"""Fifty machines over sixty days, day by day: each rule fires on its day, over the changes of the clocks and Feb 29.

The soak grows to five hundred machines over a year from July on. Work is done at once: what is queued has happened
by the next step, so what is looked at is the rules' own timing; stops and ends in AWS: test_usage.py.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connections, transaction

from forge.db import partitions
from forge.operations.models import Operation
from tests.workspaces.rules.support import IDLE, fresh, machine, stopped
from tests.world import actor, engineers
from workspaces import services
from workspaces.lifecycle import State
from workspaces.models import Decision, UsageSample, WorkSpace
from workspaces.rules import sweep
from workspaces.transitions import lock_machine, lock_scopes_of, move

TABLE = "workspaces_usagesample"
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
KINDS = ("idle", "leased", "lifetime", "extended", "stale", "kept", "kept for a time", "used", "always on", "starter")
JUMP = timedelta(hours=6)


@pytest.fixture(scope="module", autouse=True)
def months(django_db_setup, django_db_blocker):
    """Partitions for the months that are walked through; they go with the tests."""
    with django_db_blocker.unblock():
        made = partitions.ensure(TABLE, date(2027, 7, 1), date(2028, 8, 1))
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture(autouse=True)
def no_books(settings):
    """What ends is not booked: the price book and its months are other tests' matter."""
    settings.FORGE_END_HOOKS = []


def populate(world, start, count):
    """`count` machines, as many of each kind; by kind."""
    made = {kind: [] for kind in KINDS}
    for number, owner in enumerate(engineers(world, count)):
        kind = KINDS[number % len(KINDS)]
        facts = {"owner": owner, "since": start, "created_at": start, "max_lifetime_days": 3650}
        if kind in ("lifetime", "extended"):
            facts |= {"max_lifetime_days": 20, "running_mode": "ALWAYS_ON"}
        if kind == "always on":
            facts |= {"running_mode": "ALWAYS_ON"}
        if kind == "used":
            facts |= {"last_activity_at": start, "last_signal": "connected"}
        is_stopped = kind in ("stale", "kept", "kept for a time", "starter")
        made[kind].append((stopped if is_stopped else machine)(world, **facts))
    return made


def ask(made, start):
    """What people ask for on the first day."""
    for one in made["leased"]:
        services.lease(
            actor=actor(one.owner), workspace_id=one.pk, until=start + 48 * HOUR, reason="training", now=start
        )
    for one in made["extended"]:
        services.extend(actor=actor(one.owner), workspace_id=one.pk, days=15, reason="thesis", now=start)
    for kind, until in (("kept", start + 365 * DAY), ("kept for a time", start + 45 * DAY)):
        for one in made[kind]:
            services.keep_alive(actor=actor(one.owner), workspace_id=one.pk, until=until, reason="leave", now=start)


def sampled(now):
    """Each machine that runs has its samples before `now`; those that are used are connected."""
    running = WorkSpace.objects.filter(state=State.AVAILABLE)
    used = set(running.filter(last_signal="connected").values_list("id", flat=True))
    running.filter(id__in=used).update(last_activity_at=now)
    rows = [
        UsageSample(
            workspace_id=machine_id,
            organization_id=organization_id,
            at=now - 5 * number * MINUTE,
            source="CLOUDWATCH",
            cpu=IDLE,
            connected=machine_id in used,
        )
        for machine_id, organization_id in running.values_list("id", "organization_id")
        for number in range(1, 4)
    ]
    UsageSample.objects.bulk_create(rows, ignore_conflicts=True)


def carry_out(now):
    """What was queued has happened."""
    for operation in Operation.objects.open():
        target = fresh(WorkSpace(pk=operation.target_id))
        path = ("TERMINATING", "TERMINATED") if operation.kind == "workspace.terminate" else ("STOPPING", "STOPPED")
        for state in path:
            with transaction.atomic():
                lock_scopes_of(target.pk)
                move(
                    workspace=lock_machine(target.pk),
                    target=State(state),
                    occurred_at=now,
                    reason="walked",
                    actor=actor(target.owner),
                    now=now,
                )
        Operation.objects.filter(pk=operation.pk).update(
            status="succeeded", started_at=now, finished_at=now, next_attempt_at=None
        )


def use(made, now):
    """A starter's owner starts it for a moment: it came back to STOPPED just now."""
    from_now = {"state_since": now, "stopped_at": now}
    WorkSpace.objects.filter(pk__in=[one.pk for one in made["starter"]]).update(**from_now)


def walk(made, start, days):
    """Run the rules four times a day and around each warning; starters are used every 35 days."""
    now, end, next_use = start, start + days * DAY, start + 35 * DAY
    while now < end:
        now += JUMP
        if now >= next_use:
            use(made, now)
            next_use = now + 35 * DAY
        for at in (now, now + 10 * MINUTE):
            sampled(at)
            sweep.enforce(now=at)
            carry_out(at)


def fired(machines, outcome):
    """On which day from the start each machine's decision of that outcome fell, in days."""
    found = Decision.objects.filter(workspace__in=machines, outcome=outcome)
    return sorted((one.decided_at - one.workspace.created_at) / DAY for one in found.select_related("workspace"))


def near(days, machines, *, late=0.3):
    """One for each machine, on the day or within a step after it."""
    return lambda found: len(found) == len(machines) and all(days <= one <= days + late for one in found)


def check(made):
    assert near(0.25, made["idle"])(fired(made["idle"], "stop"))
    assert near(2.0, made["leased"])(fired(made["leased"], "stop"))
    assert near(20, made["lifetime"])(fired(made["lifetime"], "terminate"))
    assert near(13, made["lifetime"])(fired(made["lifetime"], "warned"))
    assert near(35, made["extended"])(fired(made["extended"], "terminate"))
    assert near(30, made["stale"])(fired(made["stale"], "flag"))
    assert near(37, made["stale"], late=0.6)(fired(made["stale"], "terminate"))
    assert near(45, made["kept for a time"])(fired(made["kept for a time"], "flag"))
    assert near(52, made["kept for a time"], late=0.6)(fired(made["kept for a time"], "terminate"))
    assert fired(made["kept"], "terminate") == fired(made["always on"], "terminate") == []
    used = fired(made["used"], "stop")
    assert {round(day) for day in used} <= {7}
    assert len(used) == len(made["used"])
    assert set(Decision.objects.filter(workspace__in=made["used"]).values_list("rule", flat=True)) <= {
        "session",
        "stale",
    }
    assert fired(made["starter"], "terminate") == []
    assert min(fired(made["starter"], "flag")) >= 30
    states = Counter(WorkSpace.objects.filter(pk__in=[one.pk for one in made["kept"]]).values_list("state", flat=True))
    assert set(states) == {"STOPPED"}


@pytest.mark.parametrize(
    "start",
    [datetime(2028, 1, 15, 8, tzinfo=UTC), datetime(2027, 10, 1, 8, tzinfo=UTC)],
    ids=["over Feb 29", "over the end of summer time"],
)
def test_each_rule_fires_on_its_day_over_sixty_days(world, start):
    made = populate(world, start, 50)
    ask(made, start)
    walk(made, start, 60)
    check(made)


@pytest.mark.soak
def test_each_rule_fires_on_its_day_over_a_year(world, scale):
    """Both changes of the clocks and Feb 29 at full length."""
    start = datetime(2027, 7, 1, 8, tzinfo=UTC)
    made = populate(world, start, scale(500, 10))
    ask(made, start)
    walk(made, start, scale(360, 60))
    check(made)
