"""A month of a fleet from the simulator costs to the cent what was worked out outside the code."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client

from budgets.models import Budget
from costs.models import CostRecord
from costs.pricing import cents
from forge.accounts.models import User
from forge.db import partitions
from tests.costs.month import company as companies
from tests.costs.month.reports import assert_reports_show
from tests.costs.month.walk import Walk
from tests.workspaces.support import client_of
from workspaces.models import WorkSpace
from workspaces.simulator.server import Simulator

EXAMPLES = Path(__file__).parents[1] / "examples"
FIRST, NEXT = date(2028, 2, 1), date(2028, 3, 1)
SUMMARY = "/api/v1/costs/summary/"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(6 * 3600)]  # an hour was not enough at a load of 30

Row = dict[str, str]


@pytest.fixture
def size(scale) -> str:
    """The quick month, or at full count that of more than 2,000 machines."""
    return "full" if scale(2000, 1) == 2000 else "quick"


@pytest.fixture
def worked(size) -> list[Row]:
    with (EXAMPLES / f"month_{size}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def plan(size) -> dict[str, Any]:
    return json.loads(_run("month_plan.py", size))


@pytest.fixture
def months(transactional_db) -> Iterator[None]:
    """Partitions of the months that are walked through; they go with the test."""
    made = partitions.ensure("costs_costrecord", date(2028, 1, 1), NEXT)
    yield
    with connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


def _run(script: str, *arguments: str) -> str:
    """Run a script of the worked examples with the standard library alone: nothing of the product is in its reach."""
    done = subprocess.run(
        [sys.executable, "-ES", script, *arguments], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_committed_is_what_the_plan_comes_to(size):
    _run("compute.py", "--check", f"month_{size}.csv")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_month_of_a_fleet_costs_what_was_worked_out(settings, months, plan, worked, size):
    settings.FORGE_SPEND_HOOKS = ["budgets.ledger.settle"]
    settings.FORGE_TAG_REPAIRS_AT_MOST = 0  # tags of machines that change hands are another test's
    begin = datetime.fromisoformat(plan["begin"])
    with Simulator(speed=0, start=begin.timestamp(), durations=plan["delays"]) as simulator:
        settings.AWS_ENDPOINT_URL = simulator.url
        company = companies.found(plan)
        Walk(company, plan, simulator.control).go()
    assert WorkSpace.objects.count() == len(plan["owners"]) >= (2000 if size == "full" else 36)
    assert_totals_shown(company.finance, worked)
    assert_users(worked)
    assert_budgets(company, worked)
    assert_records_are_the_roll_ups()


def assert_totals_shown(user: User, worked: list[Row]) -> None:
    """Each worked total of February, and of each day, is what is shown of it: by the API, in CSV, JSON and PDF."""
    client = client_of(user)
    february = [row for row in worked if row["month"] == "2028-02"]
    total = summary(client)["total"]
    assert_row(total, only(february, "total"))
    assert_reports_show(client, "2028-02", total, february)
    for dimension in ("team", "project", "cost_center", "bundle_type", "region", "running_mode"):
        groups = {group[dimension] or "": group for group in summary(client, dimension)["groups"]}
        rows = {row["name"]: row for row in february if row["dimension"] == dimension}
        assert groups.keys() == rows.keys(), dimension
        for name, row in rows.items():
            assert_row(groups[name], row)
    days = {row["name"]: row for row in worked if row["dimension"] == "day"}
    end = date.fromisoformat(max(days)) + timedelta(days=1)
    shown = client.get(f"/api/v1/costs/timeseries/?start={min(days)}&end={end}").json()["results"]
    assert [point["day"] for point in shown] == sorted(days)
    for point in shown:
        assert_row(point, days[point["day"]])


def assert_users(worked: list[Row]) -> None:
    """The dearest people of each month to the millionth, and everybody by the digest."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT to_char(day, 'YYYY-MM'), split_part(email, '@', 1), sum(billed_hours), sum(compute_cost),
                   sum(storage_cost), sum(total_cost)
              FROM costs_dailycost cost JOIN accounts_user person ON person.id = cost.user_id
             GROUP BY 1, 2 ORDER BY 1, 2
        """)
        sums = cursor.fetchall()
    names = ("billed_hours", "compute_cost", "storage_cost", "total_cost")
    shown = {(month, person): dict(zip(names, figures, strict=True)) for month, person, *figures in sums}
    for row in worked:
        if row["dimension"] == "user":
            assert_row(shown[row["month"], row["name"]], row)
        if row["dimension"] == "users":
            people = [(person, one["total_cost"]) for (month, person), one in shown.items() if month == row["month"]]
            text = "".join(f"{person} {total}\n" for person, total in people)
            assert hashlib.sha256(text.encode()).hexdigest() == row["name"], row["month"]


def assert_budgets(company: companies.Company, worked: list[Row]) -> None:
    """What each budget of each month has spent is the worked total of its scope."""
    total = {(row["month"], row["dimension"], row["name"]): row["total_cost"] for row in worked}
    names = {company.organization.id: ("total", "")}
    names |= {team.id: ("team", slug) for slug, team in company.teams.items()}
    names |= {project.id: ("project", slug) for slug, project in company.projects.items()}
    budgets = list(Budget.objects.exclude(scope="USER"))
    assert len(budgets) == 3 * len(names)
    for budget in budgets:
        key = (f"{budget.period_start:%Y-%m}", *names[budget.scope_id])
        assert budget.spent == Decimal(total.get(key, "0")), key
    for budget in Budget.objects.filter(scope="USER"):
        records = CostRecord.objects.filter(
            user=budget.scope_id, period_start__gte=budget.period_start, period_start__lt=budget.period_end
        )
        assert budget.spent == sum((record.total_cost for record in records), Decimal(0))


def assert_records_are_the_roll_ups() -> None:
    """Hour by hour and day by day it is the same money, whatever it is grouped by, and that of the machines."""
    groups = "organization_id, team_id, project_id, user_id, blueprint_id, cost_center, bundle_type, region, basis"
    sums = "running_mode, sum(billed_hours), sum(compute_cost), sum(storage_cost), sum(total_cost)"
    with connection.cursor() as cursor:
        cursor.execute(f"""
            WITH recorded AS (
                SELECT (period_start AT TIME ZONE 'UTC')::date AS day, {groups}, {sums}
                  FROM costs_costrecord GROUP BY day, {groups}, running_mode
            ), rolled_up AS (
                SELECT day, {groups}, {sums} FROM costs_dailycost GROUP BY day, {groups}, running_mode
            )
            SELECT count(*) FROM (
                (TABLE recorded EXCEPT TABLE rolled_up) UNION ALL (TABLE rolled_up EXCEPT TABLE recorded)
            ) differing
        """)
        assert cursor.fetchone() == (0,)
        cursor.execute("""
            SELECT (SELECT sum(total_cost) FROM costs_costrecord), sum(cost_to_date),
                   (SELECT count(*) FROM costs_costrecord WHERE basis <> 'METERED')
              FROM workspaces_workspace
        """)
        records, machines, estimated = cursor.fetchone()
    assert records == machines
    assert estimated == 0


def summary(client: Client, group_by: str = "") -> dict[str, Any]:
    """The sums of February."""
    wanted = f"?start={FIRST}&end={NEXT}" + (f"&group_by={group_by}" if group_by else "")
    answer = client.get(SUMMARY + wanted)
    assert answer.status_code == 200, answer.content
    return answer.json()


def only(rows: list[Row], dimension: str) -> Row:
    (row,) = [row for row in rows if row["dimension"] == dimension]
    return row


def assert_row(shown: dict[str, Any], row: Row) -> None:
    for name in ("billed_hours", "compute_cost", "storage_cost", "total_cost"):
        assert Decimal(shown[name]) == Decimal(row[name]), f"{name} of {row}: {shown}"
    assert str(cents(Decimal(shown["total_cost"]))) == row["total_shown"]
