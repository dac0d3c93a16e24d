"""The daily verification: all of the log when that is due, else what came since the last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connections

from audit.actors import Actor
from audit.verification import runs
from audit.verification.runs import Run
from audit.verification.standing import due_scope
from forge.db.jobs import JobFault
from forge.db.locks import advisory_key

JOB = "audit_verify"
LOCK_KEY = advisory_key("audit.verification")


def verify_due(*, now: datetime) -> dict[str, Any]:
    """Verify what is due and write down what it came to; returns figures.

    Tampering is no fault of the job: it is told by the record, the entry, the log and /readyz. Raises JobFault when
    nothing could be decided. A verification that goes on longer than a slot is left to go on.
    """
    with _alone() as is_alone:
        if not is_alone:
            return {"skipped": "another verification is under way"}
        run = Run(due_scope(now))
        try:
            runs.verify_all(run)
        except runs.UNDECIDABLE as error:
            run.reason = " ".join(str(error).split()) or type(error).__name__
        kept = runs.write_down(run, actor=Actor.job(JOB))
    figures = {"scope": str(run.scope), "outcome": str(run.outcome), "rows": kept.rows, "findings": kept.findings}
    figures |= {"checkpoint": kept.checkpoint}
    if run.reason:
        raise JobFault(run.reason, figures)
    return figures


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other job verifies; a direct connection of the owner holds the lock, which a pooler would lose."""
    wrapper = connections.create_connection("owner")
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY])
            yield cursor.fetchone()[0]
    finally:
        wrapper.close()
