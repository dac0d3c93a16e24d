"""Each look-up that the first design of this system names is served by an index, also for the smallest organization.

The log of these tests has 20,000 rows of one organization and 20 of another, over two months.
"""

import json
import re
import uuid

import pytest
from django.db import connection
from django.db.models import QuerySet

from audit.models import AuditLog
from audit.receipts import LANE_SHIFT
from forge.api.keysets import Keyset, Position
from forge.db import partitions
from forge.db.months import add_months, month_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

LARGE, SMALL = uuid.UUID(int=1), uuid.UUID(int=2)
FILL = """
    INSERT INTO audit_auditlog
    SELECT n, %(first)s::timestamptz + (n - %(start)s) * interval '57 days' / %(count)s, %(organization)s,
           md5((n %% 300)::text)::uuid, NULL, 'USER', NULL, 'ACTION_' || n %% 12, 'Did something', 'Thing',
           md5(n::text), 'SUCCESS', NULL, NULL, 'API', md5('c' || n)::uuid, now(), '{}', NULL, '{}', 'salt', 'content',
           1, h, n >> 44, n & ((1::bigint << 44) - 1), h, h
      FROM generate_series(%(start)s::bigint, %(start)s::bigint + %(count)s - 1) AS n, sha256('x') AS h
"""


@pytest.fixture
def filled(superuser_connection):
    superuser_connection.execute("SET session_replication_role = replica")
    (now,) = superuser_connection.execute("SELECT now()").fetchone()
    first = add_months(month_of(now), -1)
    partitions.ensure("audit_auditlog", first, add_months(first, 3))
    for lane, (organization, count) in enumerate(((LARGE, 20_000), (SMALL, 20))):
        figures = {"first": first, "organization": organization, "start": (lane << LANE_SHIFT) + 1, "count": count}
        superuser_connection.execute(FILL, figures)
    superuser_connection.execute("ANALYZE audit_auditlog")


def scans_of(queryset: QuerySet) -> list[dict]:
    """The scans of filled partitions in the plan of a page; an empty one may be read in any way."""
    statement, parameters = queryset[:50].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        plan = cursor.fetchone()[0]
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'audit_auditlog_%' AND reltuples > 0")
        filled = {name for (name,) in cursor.fetchall()}
    every = nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    return [node for node in every if node.get("Relation Name") in filled]


def nodes(plan: dict) -> list[dict]:
    return [plan] + [node for child in plan.get("Plans", ()) for node in nodes(child)]


def one(column: str, lane: int = 0):
    return AuditLog.objects.filter(lane=lane).order_by("id").values_list(column, flat=True)[100 if lane == 0 else 10]


def by(organization: uuid.UUID, **conditions) -> QuerySet:
    return AuditLog.objects.filter(organization_id=organization, **conditions)


def page_of_export(organization: uuid.UUID, **conditions) -> QuerySet:
    """The statement that the reader of exports sends for the next page of a month."""
    rows = by(organization, **conditions)
    keyset = Keyset.of(rows, "timestamp", "timestamp", descending=False)
    last = AuditLog.objects.order_by("-timestamp")[0].timestamp
    first = last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return keyset.apply(rows.filter(timestamp__gte=first, timestamp__lte=last), Position(first, 0))


POLICY = re.compile(
    r"\(\(organization_id = [^ ]+( \d+\)\.col1)?\)"
    r" OR \(current_setting\('forge\.organization'::text, true\) = '\*'::text\)\)"
)
"""What row-level security asks of a row besides; `$0` in PostgreSQL 15 is `(InitPlan 1).col1` in 17."""

LOOK_UPS = {
    "time": (lambda: by(SMALL).order_by("-timestamp", "-id"), "organization_id"),
    "a range of time": (
        lambda: by(SMALL, timestamp__gte=one("timestamp"), timestamp__lt=one("timestamp", lane=1)).order_by(
            "timestamp"
        ),
        '"timestamp"',
    ),
    "user": (lambda: by(LARGE, user_id=one("user_id")).order_by("-timestamp", "-id"), "user_id"),
    "user of the small one": (lambda: by(SMALL, user_id=one("user_id", 1)).order_by("-timestamp", "-id"), "user_id"),
    "user and time": (
        lambda: by(LARGE, user_id=one("user_id"), timestamp__gte=one("timestamp")).order_by("timestamp", "id"),
        '"timestamp"',
    ),
    "action": (lambda: by(LARGE, action_type="ACTION_7").order_by("-timestamp", "-id"), "action_type"),
    "action and time": (
        lambda: by(LARGE, action_type="ACTION_7", timestamp__gte=one("timestamp")).order_by("timestamp", "id"),
        '"timestamp"',
    ),
    "resource": (lambda: by(LARGE, resource_id=one("resource_id")), "resource_id"),
    "resource and time": (
        lambda: by(LARGE, resource_id=one("resource_id"), timestamp__gte=one("timestamp")).order_by("timestamp"),
        "resource_id",
    ),
    "correlation": (lambda: by(LARGE, correlation_id=one("correlation_id")), "correlation_id"),
    "id": (lambda: AuditLog.objects.filter(id=one("id")), "id = "),
    "a page of an export": (lambda: page_of_export(SMALL), "organization_id"),
    "a page of a person's export": (lambda: page_of_export(LARGE, user_id=one("user_id")), "user_id"),
    "the oldest entry": (lambda: AuditLog.objects.order_by("timestamp", "id"), None),
    "the installation by time": (lambda: AuditLog.objects.order_by("-timestamp", "-id"), None),
    "a lane in order": (
        lambda: AuditLog.objects.filter(id__gt=1 << LANE_SHIFT, id__lt=2 << LANE_SHIFT).order_by("id"),
        "id > ",
    ),
}


def test_each_look_up_is_a_condition_of_one_index(filled):
    for name, (queryset, condition) in LOOK_UPS.items():
        scans = scans_of(queryset())
        assert scans, name
        for scan in scans:
            assert scan["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan"), (name, scan)
            conditions = scan.get("Index Cond", "") + scan.get("Recheck Cond", "")
            assert condition is None or condition in conditions, (name, scan)
            assert "Filter" not in scan or POLICY.fullmatch(scan["Filter"]), (name, scan)


def test_a_range_of_time_reads_only_its_months(filled):
    last = AuditLog.objects.order_by("-timestamp").values_list("timestamp", flat=True)[0]
    scans = scans_of(by(LARGE, timestamp__gte=last, timestamp__lt=last.replace(day=28)).order_by("timestamp"))
    assert {scan["Relation Name"] for scan in scans} == {f"audit_auditlog_{last:%Y_%m}"}


def test_an_entry_stands_in_the_index_of_erasures_only_if_it_is_one(filled):
    scans = scans_of(AuditLog.objects.filter(action_type="AUDIT_ERASE"))
    assert {scan.get("Index Name", "").endswith("_timestamp_idx") or scan["Node Type"] for scan in scans} == {True}


def test_no_index_is_another_ones_prefix():
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT array_agg(attname ORDER BY place)
              FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (attnum, place)
              JOIN pg_attribute ON attrelid = 'audit_auditlog'::regclass AND pg_attribute.attnum = key.attnum
             WHERE indrelid = 'audit_auditlog'::regclass AND indpred IS NULL GROUP BY indexrelid""")
        indexes = [tuple(columns) for (columns,) in cursor.fetchall()]
    assert len(indexes) == 7
    assert not [(a, b) for a in indexes for b in indexes if a != b and b[: len(a)] == a]
