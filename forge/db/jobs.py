"""Jobs of the schedule: each claims its slot in JobRun, so any number of beats and late ticks do no harm.

A tick may come more often than the slot is long: a slot that failed, was paused or was lost is then taken again, and
one that succeeded is left alone. So a daily job that ticks hourly repairs itself within the hour. A job whose work is
bounded by the slot leaves one that failed alone, too.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import connection

from forge.db.models import JobRun, JobSwitch

LOST_AFTER = timedelta(hours=1)
"""A run without an end for so long counts as lost: its worker is gone. One that ends later all the same says so."""

KEEP_RUNS = timedelta(days=14)

_UNUSED = ["PAUSED", "LOST"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ERROR_LENGTH = 2000


class JobFault(Exception):
    """Raised by the work of a job at its end: part of it could not be done; `figures` count what was."""

    def __init__(self, message: str, figures: dict[str, Any]) -> None:
        super().__init__(message)
        self.figures = figures


def slot_of(now: datetime, every: timedelta) -> datetime:
    """The start of the slot that holds `now`; slots of a day begin at midnight UTC."""
    return now - (now - _EPOCH) % every


def outcomes_to_mend(*, again: bool) -> list[str]:
    """The outcomes after which a tick takes the slot once more; without `again` a run that failed is none of them."""
    return ["FAILED", *_UNUSED] if again else _UNUSED


def claim_slot(job: str, now: datetime, every: timedelta, *, again: bool = True) -> JobRun | None:
    """Take the slot of `job` that holds `now`, or return None: another run has it or it is done.

    Without `again` one whose run has failed is not taken anew.

    One statement decides, so of many who ask one gets it. The run is committed as RUNNING at once (outside a
    transaction), so that a crash leaves it to be seen; earlier runs that never ended become LOST.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE db_jobrun SET outcome = 'LOST'
            WHERE job = %(job)s AND outcome = 'RUNNING' AND started_at < %(lost_before)s
            """,
            {"job": job, "lost_before": now - LOST_AFTER},
        )
        cursor.execute(
            """
            INSERT INTO db_jobrun AS run (job, slot, attempt, outcome, started_at, figures, error)
            VALUES (%(job)s, %(slot)s, 1, 'RUNNING', %(now)s, '{}', '')
            ON CONFLICT (job, slot) DO UPDATE
                SET attempt = run.attempt + 1, outcome = 'RUNNING', started_at = %(now)s, finished_at = NULL,
                    figures = '{}', error = ''
                WHERE run.outcome = ANY(%(free)s)
            RETURNING id
            """,
            {"job": job, "slot": slot_of(now, every), "now": now, "free": outcomes_to_mend(again=again)},
        )
        claimed = cursor.fetchone()
    return JobRun.objects.get(pk=claimed[0]) if claimed else None


def run_job(
    job: str, now: datetime, every: timedelta, work: Callable[[], dict[str, Any] | None], *, again: bool = True
) -> dict[str, Any] | None:
    """Do `work` if the slot is free and the job is not paused; returns its figures, or None when it was not done.

    `again` = False for work that is bounded by the slot: after a run that failed half-way the next slot goes on.

    Outcome, times and figures (JSON values) are stored in the JobRun. An exception of `work` is stored as its error
    (a JobFault with its figures) and raised again, so that the worker logs it too.
    """
    run = claim_slot(job, now, every, again=again)
    if run is None:
        return None
    if is_paused(job):
        _finish(run, now, JobRun.Outcome.PAUSED)
        return None
    began = time.monotonic()
    try:
        with structlog.contextvars.bound_contextvars(job=job):
            figures = work() or {}
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
        figures = error.figures if isinstance(error, JobFault) else {}
        _finish(run, _after(now, began), JobRun.Outcome.FAILED, error=text, figures=figures)
        raise
    _finish(run, _after(now, began), JobRun.Outcome.SUCCEEDED, figures=figures)
    purge_runs(job, now - KEEP_RUNS)
    return figures


def is_paused(job: str) -> bool:
    """Whether the job is paused for all, which holds for every organization whatever its own switch says.

    A pause of one organization alone is for work that decides by organization (workspaces.rules.pausing).
    """
    return JobSwitch.objects.filter(job=job, organization_id=None, is_paused=True).exists()


def last_runs() -> list[JobRun]:
    """The newest run of each job, by name: what the System page and /readyz show."""
    return list(
        JobRun.objects.raw(
            """
            -- Skips from job to job along the unique index instead of reading all runs.
            WITH RECURSIVE jobs AS (
                SELECT min(job) AS job FROM db_jobrun
                UNION ALL
                SELECT (SELECT min(job) FROM db_jobrun WHERE job > jobs.job) FROM jobs WHERE jobs.job IS NOT NULL
            )
            SELECT run.* FROM jobs
            CROSS JOIN LATERAL (SELECT * FROM db_jobrun WHERE job = jobs.job ORDER BY slot DESC LIMIT 1) run
            ORDER BY run.job
            """
        )
    )


def lag(job: str, now: datetime) -> timedelta | None:
    """The time since the last successful run of `job` began; None if there is none on record."""
    run = JobRun.objects.filter(job=job, outcome=JobRun.Outcome.SUCCEEDED).order_by("-slot").first()
    return now - run.started_at if run else None


def purge_runs(job: str, before: datetime) -> int:
    """Delete the runs of `job` whose slot began before `before`; returns how many."""
    return JobRun.objects.filter(job=job, slot__lt=before).delete()[0]


def _after(now: datetime, began: float) -> datetime:
    """`now` and the time passed since the monotonic instant `began`: the caller's clock, not this machine's."""
    return now + timedelta(seconds=time.monotonic() - began)


def _finish(run: JobRun, at: datetime, outcome: str, **values: Any) -> None:
    # Where PostgreSQL went away during the work, a new connection can still tell of it.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    # Only while the slot is still this run's: one that counted as lost may have been taken over.
    JobRun.objects.filter(pk=run.pk, attempt=run.attempt).update(outcome=outcome, finished_at=at, **values)
