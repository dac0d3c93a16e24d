"""Figures of the work itself: operations that go on, jobs of the schedule, queues of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache

import redis
from django.conf import settings
from django.db.models import Count, Min, Q
from prometheus_client.core import GaugeMetricFamily

from forge.db import jobs
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.schedule import RHYTHMS, TASK_QUEUES

LAUNCH = "workspace.launch"


def operations(now: datetime) -> Iterator[GaugeMetricFamily]:
    """What has not ended, how long what is due has waited, and how old the oldest launch is."""
    open_ = GaugeMetricFamily("forge_operations_open", "Operations that have not ended.", labels=["kind", "status"])
    for kind, status, count in Operation.objects.open().values_list("kind", "status").annotate(Count("id")):
        open_.add_metric([kind, status], count)
    yield open_
    due = Operation.objects.due(now).order_by().aggregate(count=Count("id"), since=Min("due_at"))
    yield GaugeMetricFamily("forge_operations_due", "Operations that wait for a worker.", value=due["count"])
    yield GaugeMetricFamily(
        "forge_operations_waited_seconds",
        "How long the one that waits longest for a worker has been due.",
        value=_age(due["since"], now),
    )
    launches = Operation.objects.open().filter(~Q(status=Operation.Status.WAITING, next_attempt_at=None), kind=LAUNCH)
    yield GaugeMetricFamily(
        "forge_launch_oldest_seconds",
        "Since when the oldest launch goes on; one that waits for a person does not count.",
        value=_age(launches.aggregate(since=Min("created_at"))["since"], now),
    )


def scheduled(now: datetime) -> Iterator[GaugeMetricFamily]:
    """How each job of the schedule did last, how long it has not succeeded, and how long that is meant to take."""
    outcome = GaugeMetricFamily(
        "forge_job_last_outcome", "1 for the outcome of a job's last run.", labels=["job", "outcome"]
    )
    success = GaugeMetricFamily(
        "forge_job_last_success_timestamp_seconds", "Begin of a job's last successful run.", labels=["job"]
    )
    lag = GaugeMetricFamily("forge_job_lag_seconds", "Since a job's last successful run began.", labels=["job"])
    for run in jobs.last_runs():
        for name in JobRun.Outcome.values:
            outcome.add_metric([run.job, name.lower()], float(run.outcome == name))
        behind = jobs.lag(run.job, now)
        if behind is not None:
            success.add_metric([run.job], (now - behind).timestamp())
            lag.add_metric([run.job], behind.total_seconds())
    interval = GaugeMetricFamily("forge_job_interval_seconds", "How often a job is to succeed.", labels=["job"])
    paused = GaugeMetricFamily("forge_job_paused", "1 while somebody has paused the job for all.", labels=["job"])
    off = set(JobSwitch.objects.filter(is_paused=True, organization_id=None).values_list("job", flat=True))
    for job, rhythm in RHYTHMS.items():
        if rhythm.setting is not None and not getattr(settings, rhythm.setting):
            continue  # it ticks and does nothing
        interval.add_metric([job], rhythm.slot.total_seconds())
        paused.add_metric([job], float(job in off))
    yield from (outcome, success, lag, interval, paused)


def queues() -> Iterator[GaugeMetricFamily]:
    """How many messages lie in each queue; without Redis only that it is away."""
    depth = GaugeMetricFamily("forge_queue_depth", "Messages that wait in a queue of Celery.", labels=["queue"])
    names = [queue.name for queue in TASK_QUEUES]
    try:
        asked = _redis(settings.REDIS_URL).pipeline(transaction=False)
        for name in names:
            asked.llen(name)
        lengths = asked.execute()
    except redis.RedisError:
        lengths = []
    for name, length in zip(names, lengths, strict=bool(lengths)):
        depth.add_metric([name], length)
    yield depth
    yield GaugeMetricFamily("forge_redis_up", "1 while Redis answers.", value=float(bool(lengths)))


def _age(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0.0


@cache
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
