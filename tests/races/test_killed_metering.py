"""Metering killed with SIGKILL, by three at once, twice and after days off books what it books undisturbed."""

from __future__ import annotations

import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model, Sum

from budgets.models import Budget
from costs.metering import meter
from costs.models import CostRecord, DailyCost, MeterMark
from forge.accounts.models import Project, Team
from forge.db import partitions
from tests import factories
from tests.races import forked, metering_worker
from tests.world import World, build
from workspaces.models import WorkSpace

BEGAN = datetime(2027, 12, 29, 22, 10, tzinfo=UTC)
NEW_YEAR = datetime(2028, 1, 1, tzinfo=UTC)
HOURS = 56
"""Up to the morning after the turn of the year."""
OFF = timedelta(days=3)
KINDS = 7
"""Kinds of machines; there are three or nine of each."""

ZONES = ("AAA-1BBB,J60/2,J364/3", "AAA3BBB,J364/2,J60/3", "UTC0")
"""Clocks of the workers' machines: set back on December 30, set forward on that day, never changed."""


@pytest.fixture
def months(transactional_db) -> Iterator[None]:
    """The months that are metered; they go with the test."""
    made = partitions.ensure("costs_costrecord", BEGAN.date(), NEW_YEAR.date())
    yield
    with connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


Bearers = list[tuple[datetime, dict[str, Any]]]
"""Who bore a machine's hours: from when on, and what of its records says so."""


def fleet(world: World, count: int) -> dict[uuid.UUID, Bearers]:
    """Machines with short lives of seven kinds, all of them known from the start, and who bears their hours.

    Of each kind there are three: the tags of one change, the team of another, and project, owner and then the
    project's cost center of the third.
    """
    team = factories.TeamFactory(organization=world.organization)
    project = factories.ProjectFactory(organization=world.organization, cost_center="p-1")
    for one in (world.team, team):
        factories.BudgetFactory(
            organization=world.organization,
            scope="TEAM",
            scope_id=one.id,
            amount=Decimal(100_000),
            period_start=datetime(2027, 12, 1, tzinfo=UTC),
            period_end=datetime(2028, 2, 1, tzinfo=UTC),
            adopted_at=BEGAN,
        )
    known = {}
    for number in range(count):
        machine = _machine(world, number)
        known[machine.pk] = _bearers(machine, number // KINDS % 3, team, project)
    moved = BEGAN + timedelta(hours=41.3)
    Project.objects.filter(pk=project.pk).update(cost_center="p-2", updated_at=moved)
    for number, bearers in enumerate(known.values()):
        if number // KINDS % 3 == 2:
            bearers.append((moved, {**bearers[-1][1], "cost_center": "p-2"}))
    return known


def _bearers(machine: WorkSpace, kind: int, team: Team, project: Project) -> Bearers:
    """Have what the machine's records bear changed, in its own time."""
    first = {"owner_id": machine.owner_id, "team_id": machine.team_id, "project_id": None, "tags": {}}
    other = factories.UserFactory(organization=team.organization)
    changes: dict[float, dict[str, Any]] = [
        {7.4: {"tags": {"cost-center": "t-1"}}, 30.2: {"tags": {"purpose": "build"}}, 70.5: {"tags": {}}},
        {5.9: {"team_id": team.id}, 26.5: {"team_id": machine.team_id}, 90.1: {"team_id": team.id}},
        {
            13.5: {"project_id": project.id},
            20.2: {"owner_id": other.id},
        },
    ][kind]
    held, known = first, [(datetime.min.replace(tzinfo=UTC), first)]
    for hours, change in changes.items():
        at = BEGAN + timedelta(hours=hours)
        WorkSpace.objects.filter(pk=machine.pk).update(**change, attributed_at=at)
        held = held | change
        known.append((at, held))
    return [(at, _borne(facts)) for at, facts in known]


def _borne(facts: dict[str, Any]) -> dict[str, Any]:
    """The columns of a record of an hour that begins under these facts."""
    center = "p-1" if facts["project_id"] else facts["tags"].get("cost-center", "")
    renamed = {"user_id" if name == "owner_id" else name: value for name, value in facts.items()}
    return {**renamed, "cost_center": center}


def assert_borne(records: list[dict[str, Any]], known: dict[uuid.UUID, Bearers]) -> None:
    """Each record bears what held when its hour began, or at the launch within it; all that held is borne."""
    launched = dict(WorkSpace.objects.values_list("id", "launched_at"))
    seen = set()
    for row in records:
        began = max(row["period_start"], launched[row["workspace_id"]])
        place, borne = [(nr, facts) for nr, (at, facts) in enumerate(known[row["workspace_id"]]) if at <= began][-1]
        assert {name: row[name] for name in borne} == borne, row
        seen.add((row["workspace_id"], place))
    assert len(seen) > 2 * len(known)


def _machine(world: World, number: int) -> WorkSpace:
    at = BEGAN + timedelta(minutes=number)
    instant = timedelta(microseconds=1 if number % (2 * KINDS) < KINDS else -1)
    launched = [(at, "PENDING"), (at + timedelta(minutes=3), "AVAILABLE")]
    on_and_off = [
        *launched,
        (at + timedelta(hours=11), "STOPPED"),
        (at + timedelta(hours=25), "AVAILABLE"),
        (at + timedelta(hours=52), "STOPPED"),
        (at + timedelta(hours=99), "STARTING"),
    ]
    inside_the_tail = [
        *launched,
        (at + timedelta(hours=3.1), "STOPPING"),
        (at + timedelta(hours=3.2), "STOPPED"),
        (at + timedelta(hours=3.5), "STARTING"),
        (at + timedelta(hours=3.6), "AVAILABLE"),
        (NEW_YEAR - timedelta(minutes=40 + number), "STOPPED"),
        (NEW_YEAR - timedelta(minutes=10), "AVAILABLE"),
    ]
    ended = [*launched, (NEW_YEAR + instant, "TERMINATED")]
    of_the_new_year = [(at, "PENDING"), (NEW_YEAR + instant, "AVAILABLE")]
    histories = (on_and_off, inside_the_tail, launched, ended, of_the_new_year, on_and_off, launched)
    machine = factories.WorkSpaceFactory(
        organization=world.organization,
        team=world.team,
        owner=factories.UserFactory(organization=world.organization),
        history=histories[number % KINDS],
        running_mode="ALWAYS_ON" if number % KINDS == 2 else "AUTO_STOP",
    )
    for changed_at, changed in _changes(number, at):
        WorkSpace.objects.filter(pk=machine.pk).update(**changed, configured_at=changed_at)
    return machine


def _changes(number: int, at: datetime) -> list[tuple[datetime, dict[str, str]]]:
    """What is changed of a machine; two resizes lie between an hour's start and a sweep, before its session hour."""
    if number % KINDS == 5:
        return [(at + timedelta(hours=5), {"bundle_type": "PERFORMANCE", "running_mode": "ALWAYS_ON"})]
    if number % KINDS == 6:
        swept = BEGAN + timedelta(hours=5 + number)
        return [
            (swept - timedelta(minutes=6), {"bundle_type": "POWER"}),
            (swept - timedelta(minutes=3), {"bundle_type": "PERFORMANCE"}),
        ]
    return []


def booked() -> list[list[dict[str, Any]]]:
    """All that metering keeps of the machines, row by row: every column but ids and times of writing."""
    found = [
        _rows(CostRecord, "workspace_id", "period_start"),
        _rows(DailyCost, "day", "user_id", "team_id", "project_id", "cost_center", "bundle_type", "running_mode"),
        list(MeterMark.objects.order_by("workspace_id").values("workspace_id", "next_due_at", "paid_until")),
        list(WorkSpace.objects.order_by("id").values("id", "cost_to_date")),
        list(Budget.objects.order_by("id").values("id", "spent")),
    ]
    assert all(found)
    return found


def _rows(model: type[Model], *order: str) -> list[dict[str, Any]]:
    left_out = {"id", "recorded_at", "created_at", "updated_at"}
    rows = model._default_manager.order_by(*order).values()
    return [{name: value for name, value in row.items() if name not in left_out} for row in rows]


def undisturbed(until: datetime) -> list[list[dict[str, Any]]]:
    """What one run at the end books; it is taken back."""
    with transaction.atomic():
        meter(now=until)
        found = booked()
        transaction.set_rollback(True)
    assert not CostRecord.objects.exists()
    return found


class Workers:
    """Three processes that meter the same hours at once; whoever is killed is followed by another."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._alive: list[BaseProcess] = []
        self._started = self.kills = 0

    def kill_some(self, kills: int, *, within: float) -> None:
        """Each time something was booked two of them are killed, until so many were, or all is booked."""
        deadline = time.monotonic() + within
        while self.kills < kills and time.monotonic() < deadline:
            while len(self._alive) < len(ZONES):
                self._start(BEGAN, HOURS)
            before = CostRecord.objects.count()
            while CostRecord.objects.count() == before and any(one.is_alive() for one in self._alive):
                time.sleep(0.001)
            if not any(one.is_alive() for one in self._alive):
                break
            time.sleep(self._chance.choice((0, self._chance.uniform(0, 0.1))))
            for _ in range(2):
                self._kill(self._alive.pop(self._chance.randrange(len(self._alive))))

    def _kill(self, victim: BaseProcess) -> None:
        victim.kill()
        victim.join(timeout=30)
        self.kills += victim.exitcode == -signal.SIGKILL

    def carry_out(self, began: datetime, hours: int) -> None:
        """Three at once from `began` on, none killed."""
        self.join()
        for _ in ZONES:
            self._start(began, hours)
        self.join()

    def join(self) -> None:
        for one in self._alive:
            one.join(timeout=120)
        assert [one.exitcode for one in self._alive] == [0] * len(self._alive)
        self._alive = []

    def _start(self, began: datetime, hours: int) -> None:
        zone = ZONES[self._started % len(ZONES)]
        self._alive.append(forked.start(metering_worker.main, began, hours, zone))
        self._started += 1


@pytest.mark.soak
@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_metering_killed_at_random_books_every_hour_once(months, scale):
    """Over a change of the clocks and the turn of the year; then once more; then after three days off."""
    resumed = BEGAN + timedelta(hours=HOURS) + OFF
    world = build()
    known = fleet(world, scale(63, 21))
    half_way, whole = undisturbed(BEGAN + timedelta(hours=HOURS)), undisturbed(resumed)
    assert_borne(whole[0], known)

    workers = Workers(seed=7)
    workers.kill_some(scale(60, 12), within=120)
    assert workers.kills >= 3
    sys.stdout.write(f"{workers.kills} workers were killed\n")
    workers.carry_out(BEGAN, HOURS)
    assert booked() == half_way
    workers.carry_out(BEGAN, HOURS)
    assert booked() == half_way
    workers.carry_out(resumed, 0)
    assert booked() == whole
    spent = Budget.objects.aggregate(Sum("spent"))["spent__sum"]
    assert CostRecord.objects.aggregate(Sum("total_cost"))["total_cost__sum"] == spent
