"""Each look-up of costs that the first design names is served by an index, also for the smallest organization.

The table of these tests has 60,000 records of one organization and 60 of another, over two months.
"""

import json
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from costs.models import CostRecord, DailyCost
from forge.db import partitions

LARGE, SMALL = uuid.UUID(int=1), uuid.UUID(int=2)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
_RECORDS = """
    INSERT INTO costs_costrecord (
        workspace_id, organization_id, user_id, team_id, price_id, period_start, period_end, recorded_at,
        running_seconds, billed_hours, storage_gb, data_transfer_gb, compute_cost, storage_cost, data_transfer_cost,
        total_cost, currency, basis, bundle_type, region, running_mode, cost_center, tags
    )
    SELECT md5(%(prefix)s || nr)::uuid, %(organization)s, md5('u' || nr)::uuid, md5('t' || nr %% 10)::uuid,
           md5('p')::uuid, hour, hour + interval '1 hour', hour + interval '1 minute', 0, 0, 0, 0, 1, 0, 0, 1, 'USD',
           'METERED', 'STANDARD', 'us-east-1', 'AUTO_STOP', '', '{}'
      FROM generate_series(0, %(hours)s - 1) AS n
     CROSS JOIN LATERAL (SELECT %(first)s + n * 2 * interval '1 hour' AS hour) t
     CROSS JOIN generate_series(1, %(machines)s) AS nr
     ORDER BY hour, nr
"""
_DAYS = """
    INSERT INTO costs_dailycost (
        day, organization_id, user_id, team_id, cost_center, bundle_type, region, running_mode, basis, billed_hours,
        compute_cost, storage_cost, data_transfer_cost, total_cost, created_at, updated_at
    )
    SELECT (%(first)s AT TIME ZONE 'UTC')::date + n, %(organization)s, md5('u' || nr)::uuid,
           md5('t' || nr %% 10)::uuid, '', 'STANDARD', 'us-east-1', 'AUTO_STOP', 'METERED', 0, 1, 0, 0, 1, now(), now()
      FROM generate_series(0, 49) AS n CROSS JOIN generate_series(1, %(machines)s) AS nr
"""


def made(text):
    """The id that the filling statement makes of a name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT md5(%s)::uuid", [text])
        return cursor.fetchone()[0]


@pytest.fixture
def filled(superuser_connection):
    partitions.ensure("costs_costrecord", date(2026, 3, 1), date(2026, 4, 1))
    for prefix, organization, machines, hours in (("w", LARGE, 100, 600), ("s", SMALL, 1, 60)):
        given = {"organization": organization, "machines": machines, "hours": hours, "first": FIRST, "prefix": prefix}
        for statement in (_RECORDS, _DAYS):
            superuser_connection.execute(statement, given)
    superuser_connection.execute("VACUUM (ANALYZE) costs_costrecord, costs_dailycost")


def scans_of(queryset):
    """(index or kind of scan) of every filled table in the plan; empty partitions may be read in any way."""
    statement, parameters = queryset.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        plan = cursor.fetchone()[0]
        cursor.execute("SELECT relname FROM pg_class WHERE relname ~ '^costs_' AND relkind = 'r' AND reltuples > 0")
        filled = {name for (name,) in cursor.fetchall()}
    every = nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    named = {node["Index Name"] for node in every if node["Node Type"] == "Bitmap Index Scan"}
    scans = [node for node in every if node.get("Relation Name") in filled]
    return {node.get("Index Name", node["Node Type"]) for node in scans} | named


def nodes(plan):
    return [plan] + [node for child in plan.get("Plans", ()) for node in nodes(child)]


PERIOD = {"period_start__gte": FIRST + timedelta(days=3), "period_start__lt": FIRST + timedelta(days=4)}
LOOK_UPS = {
    "workspace": (lambda: {"workspace_id": made("w7")}, "pkey"),
    "workspace and period": (lambda: {"workspace_id": made("w7")} | PERIOD, "pkey"),
    "user": (lambda: {"organization_id": LARGE, "user_id": made("u7")}, "user_id"),
    "user and period": (lambda: {"organization_id": LARGE, "user_id": made("u7")} | PERIOD, "user_id"),
    "team": (lambda: {"organization_id": SMALL, "team_id": made("t1")}, "team_id"),
    "team and period": (lambda: {"organization_id": LARGE, "team_id": made("t1")} | PERIOD, "team_id"),
    "organization": (lambda: {"organization_id": SMALL}, "organization_id"),
    "period start": (lambda: {"organization_id": LARGE} | PERIOD, "organization_id"),
    "period end": (lambda: {"period_end": FIRST + timedelta(hours=9)}, "period_end"),
    "recorded at": (lambda: {"recorded_at__lt": FIRST + timedelta(hours=5)}, "period_end"),
}


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_each_look_up_is_served_by_an_index(filled):
    served = {name: scans_of(CostRecord.objects.filter(**where())) for name, (where, _) in LOOK_UPS.items()}
    wrong = {
        name: scans
        for name, scans in served.items()
        if "Seq Scan" in scans or not any(LOOK_UPS[name][1] in scan for scan in scans)
    }
    assert not wrong
    for organization in (LARGE, SMALL):
        page = CostRecord.objects.filter(organization_id=organization, **PERIOD).order_by("period_start", "id")[:50]
        assert all("organization_id_period_start_id" in scan for scan in scans_of(page))
    days = DailyCost.objects.filter(organization_id=SMALL, day__gte=date(2026, 3, 2), day__lt=date(2026, 3, 9))
    assert scans_of(days) == {"costs_dailycost_one_per_group"}


@pytest.mark.usefixtures("months")
@pytest.mark.django_db
def test_a_period_reads_the_partitions_of_its_months_only():
    statement, parameters = CostRecord.objects.filter(**PERIOD).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "costs_costrecord_2026_03" in plan
    assert "costs_costrecord_2026_04" not in plan
