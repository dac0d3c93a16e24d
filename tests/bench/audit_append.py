"""`audit_append_vs_plain`: appending to the audit log over appending the same columns to a plain table.

32 connections, each call a transaction of its own: nothing but the append stands between two commits, which is harder
on the lanes than any request is. Entries are made ready before the clock runs, by the code that `record` uses.

**The sealer runs beside it**, in a process of its own, as the job queue runs it: leaves, tree, signature, a checkpoint
in a directory. A plain table has nothing to seal, so it works while our side runs and is idle, its last pass ended,
while the bare side does: what sealing takes from the two cores, the disk and the locks is charged to us alone. It
begins a pass when a run begins and then every second, where the beat does so every five. The first pass of a run finds
what the run before left, so from the second run on each carries the sealing of at least as many entries as it appends
but for those of its own that it leaves to the next; only the last run's rest is sealed outside the clock. What was
sealed, in how many passes, is counted, and no pass may tell of a fault.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from audit import entries
from audit.actors import Actor, Interface, Kind
from audit.verification.rows import verify
from forge.db.ids import uuid7
from tests.audit.support import SIGNING_KEY
from tests.bench.bare import append
from tests.bench.children import Child, child
from tests.bench.crowd import Call, Crowd
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from workspaces.actions import WORKSPACE_PROVISION

CONNECTIONS = 32
CALLS = {"tiny": 64, "quick": 2_000, "full": 40_000}
LOG, FUNCTION = "audit_auditlog", "audit_append"

ARGUMENTS = (
    "organization_id", "user_id", "user_email", "actor_kind", "credential_id", "action_type", "action_description",
    "resource_type", "resource_id", "result", "source_ip", "user_agent", "interface", "correlation_id", "occurred_at",
    "context", "changes", "personal", "salt", "content", "hash_version", "content_hash",
)  # fmt: skip


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """32 connections for each side, as many entries for every run, and the sealer of our side."""
    calls = [call(number) for number in range(of_size(size, CALLS))]
    passes: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        append.installed(),
        _crowd(FUNCTION) as mine,
        _crowd(append.CALL) as bare,
        child("tests.bench.sealer", folder, env={"FORGE_AUDIT_SIGNING_KEY": SIGNING_KEY}) as beside,
    ):
        yield Sides(
            mine=lambda: _run_sealed(mine, calls, beside, passes),
            bare=lambda: _run(bare, calls, append.TABLE),
            verify=lambda: _verify(len(calls), passes),
        )


def _run_sealed(crowd: Crowd, calls: list[Call], beside: Child, passes: list[dict[str, Any]]) -> Run:
    beside.tell("go")
    run = _run(crowd, calls, LOG)
    passes.append(beside.ask("stop"))
    return run


def _run(crowd: Crowd, calls: list[Call], table: str) -> Run:
    before = count(table)
    seconds = crowd.run(calls)
    return Run(seconds, count(table) - before)


def _verify(calls: int, passes: list[dict[str, Any]]) -> dict[str, Any]:
    """Both tables hold the same entries equally often, the log is whole, and all but the last run's are sealed."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT content_hash, count(*) FROM {LOG} GROUP BY 1"
            f" EXCEPT SELECT content_hash, count(*) FROM {append.TABLE} GROUP BY 1) AS differing"
        )
        (differing,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM audit_auditlane WHERE lane_seq > 0")
        (lanes,) = cursor.fetchone()
    report = verify()
    if differing or not report.is_intact:
        raise UnequalWork(f"{differing} entries are not in both tables; the log's faults: {report.findings}")
    sealed = sum(one["sealed"] for one in passes)
    faults = [fault for one in passes for fault in one["faults"]]
    if faults or sealed < calls * (len(passes) - 1):
        raise UnequalWork(f"{sealed} entries were sealed beside {len(passes)} runs of {calls}; faults: {faults}")
    return {
        "connections": CONNECTIONS, "rows_mine": count(LOG), "rows_bare": count(append.TABLE), "lanes": lanes,
        "sealed_beside": sealed, "seal_passes": sum(one["passes"] for one in passes),
    }  # fmt: skip


@contextlib.contextmanager
def _crowd(function: str) -> Iterator[Crowd]:
    parameters = ", ".join(f"${number}" for number in range(1, len(ARGUMENTS) + 1))
    crowd = Crowd(os.environ["DATABASE_URL"], f"SELECT {function}({parameters})", CONNECTIONS)
    try:
        yield crowd
    finally:
        crowd.close()


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


def call(number: int) -> Call:
    """The arguments of one launch's entry as PostgreSQL reads them in text form."""
    organization, person = uuid.UUID(int=number % 20), uuid.UUID(int=number % 2_000)
    machine = uuid7()
    actor = Actor(
        kind=Kind.USER,
        interface=Interface.PORTAL,
        user_id=person,
        email=f"person{number % 2_000}@example.com",
        organization_id=organization,
        credential_id=person,
        source_ip="192.0.2.17",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
        correlation_id=uuid7(),
    )
    row = entries.columns(
        entries.Entry(
            actor=actor,
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
        )
    )  # fmt: skip
    return [_text(row[name]) for name in ARGUMENTS]


def _text(value: Any) -> bytes | None:
    if value is None:
        return None
    return b"\\x" + value.hex().encode() if isinstance(value, bytes) else str(value).encode()


BENCHMARK = Benchmark(name="audit_append_vs_plain", goal=0.80, prepare=prepare, is_rate=True)
