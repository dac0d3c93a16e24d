"""Metering killed with SIGKILL at random moments books no hour twice and leaves none out."""

from __future__ import annotations

import random
import signal
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from budgets.models import Budget
from costs.metering import ensure_months, meter
from costs.models import CostRecord, DailyCost
from tests import factories
from tests.races import forked, metering_worker
from tests.world import World, build
from workspaces.models import WorkSpace

BEGAN = datetime(2026, 2, 27, 22, 10, tzinfo=UTC)  # over the end of a month
HOURS = 60


def fleet(world: World, count: int) -> list[WorkSpace]:
    """Machines with the same short lives, whoever's they are: on, off for a night, on again."""
    return [
        factories.WorkSpaceFactory(
            organization=world.organization,
            team=world.team,
            owner=factories.UserFactory(organization=world.organization),
            history=[
                (BEGAN + timedelta(minutes=number), "PENDING"),
                (BEGAN + timedelta(minutes=number + 3), "AVAILABLE"),
                (BEGAN + timedelta(hours=11, minutes=number), "STOPPED"),
                (BEGAN + timedelta(hours=25, minutes=number), "AVAILABLE"),
            ],
        )
        for number in range(count)
    ]


def booked(machines: list[WorkSpace]) -> list[list[tuple]]:
    """The records of each machine, hour by hour."""
    return [
        list(
            CostRecord.objects.filter(workspace=machine)
            .order_by("period_start")
            .values_list("period_start", "billed_hours", "compute_cost", "total_cost")
        )
        for machine in machines
    ]


@pytest.mark.soak
@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_metering_killed_at_random_books_every_hour_once(scale):
    count = scale(60, 14)
    chance = random.Random(7)
    until = BEGAN + timedelta(hours=HOURS)
    ensure_months(BEGAN, until)
    disturbed, quiet = build(), build()
    budget = factories.BudgetFactory(
        organization=disturbed.organization,
        scope="TEAM",
        scope_id=disturbed.team.id,
        amount=Decimal(100_000),
        period_start=datetime(2026, 2, 1, tzinfo=UTC),
        period_end=datetime(2026, 4, 1, tzinfo=UTC),
        adopted_at=BEGAN,
    )
    machines = fleet(disturbed, count)
    kills = 0
    deadline = time.monotonic() + 120
    while kills < scale(30, 6) and time.monotonic() < deadline:
        worker = forked.start(metering_worker.main, BEGAN, HOURS)
        before = CostRecord.objects.count()
        while worker.is_alive() and CostRecord.objects.count() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.2))
        worker.kill()
        worker.join(timeout=30)
        kills += worker.exitcode == -signal.SIGKILL
        if CostRecord.objects.count() == before:
            break
    meter(now=until)
    assert kills >= 3

    twins = fleet(quiet, count)
    meter(now=until)
    assert booked(machines) == booked(twins)
    assert all(booked(machines))
    total = CostRecord.objects.filter(team=disturbed.team).aggregate(Sum("total_cost"))["total_cost__sum"]
    assert DailyCost.objects.filter(team=disturbed.team).aggregate(Sum("total_cost"))["total_cost__sum"] == total
    assert Budget.objects.get(pk=budget.pk).spent == total
    assert sum(WorkSpace.objects.filter(team=disturbed.team).values_list("cost_to_date", flat=True)) == total
