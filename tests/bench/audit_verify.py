"""`audit_verify_rows_per_s_per_core`: entries verified per second by one process on one connection.

Each entry is held against its content hash, its columns and its personal values, and against the entry before it; then
heads and surplus rows are looked for, as `audit_verify` does it. PostgreSQL may not spread one statement over more
cores. The log is written by the append functions, in lanes and pieces as a busy installation has them.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection, transaction

from audit.actors import Actor, Interface, Kind
from audit.services import Entry, record_many
from audit.verification.rows import verify
from forge.db.ids import uuid7
from tests.bench.measure import Figure, Run, Subject, UnequalWork, of_size
from workspaces.actions import WORKSPACE_PROVISION

ROWS = {"tiny": 400, "quick": 40_000, "full": 2_000_000}
AT_ONCE = 500
LANES = 16


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Subject]:
    """A log of so many entries, in 16 lanes."""
    rows = of_size(size, ROWS)
    for number, first in enumerate(range(0, rows, AT_ONCE)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('forge.audit_lane', %s, true)", [str(number % LANES)])
            record_many(_entry(one) for one in range(first, min(first + AT_ONCE, rows)))
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
    yield Subject(run=lambda: _run(rows), verify=lambda: {"rows": rows, "lanes": min(LANES, -(-rows // AT_ONCE))})


def _run(rows: int) -> Run:
    began = time.perf_counter()
    report = verify()
    seconds = time.perf_counter() - began
    if report.rows != rows or not report.is_intact:
        raise UnequalWork(f"{report.rows} of {rows} entries were verified; findings: {report.findings}")
    return Run(seconds, report.rows)


def _entry(number: int) -> Entry:
    """A launch by one of 2,000 people of 20 organizations."""
    person, machine = uuid.UUID(int=number % 2_000), uuid7()
    return Entry(
        actor=Actor(
            kind=Kind.USER,
            interface=Interface.PORTAL,
            user_id=person,
            email=f"person{number % 2_000}@example.com",
            organization_id=uuid.UUID(int=number % 20),
            credential_id=person,
            source_ip="192.0.2.17",
            user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
        ),
        action=WORKSPACE_PROVISION,
        description=f"Launch of machine {machine}",
        resource_type="WorkSpace",
        resource_id=str(machine),
        occurred_at=datetime.now(UTC),
        changes={
            "before": None,
            "after": {"bundle_type": "STANDARD", "operating_system": "LINUX", "running_mode": "AUTO_STOP",
                      "region": "us-east-1", "owner_id": str(person), "operation_id": str(uuid7())},
        },
    )  # fmt: skip


BENCHMARK = Figure(name="audit_verify_rows_per_s_per_core", goal=30_000, unit="rows/s", prepare=prepare, is_rate=True)
