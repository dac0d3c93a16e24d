"""`/healthz`: this process answers. `/readyz`: it can do its work, with every check by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.archive import retention
from audit.sealing import seals
from audit.verification.standing import standing
from costs import metering
from costs.proof import faults as book_faults
from costs.standing import standing as price_standing
from forge.db import partitions, scope

MOST_METERING_LAG = timedelta(minutes=5)
"""Costs are to be visible this long after they arose, at most."""


@dataclass(frozen=True)
class Finding:
    """What one check found: `ok`, `degraded` (slower, nothing is lost) or `failed` (send no traffic here)."""

    status: str
    detail: str = ""


def check_database() -> Finding:
    """Failed unless PostgreSQL answers a query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Finding("ok")


def check_migrations() -> Finding:
    """Failed while migrations of this release are not applied."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:5])
        return Finding("failed", f"{len(missing)} not applied, first {names}; run manage.py migrate")
    return Finding("ok")


def check_partitions() -> Finding:
    """Failed when the months of a table have a fault, degraded when too few of them lie ahead."""
    reports = partitions.check(timezone.now(), using="default")
    faults = [f"{report.table}: {fault}" for report in reports for fault in report.faults]
    if faults:
        return Finding("failed", "; ".join(faults[:5]))
    short = [f"{report.table}: {report.months_ahead} months ahead" for report in reports if report.is_short]
    return Finding("degraded", "; ".join(short) + "; run manage.py rollover_partitions") if short else Finding("ok")


def check_redis() -> Finding:
    """Degraded without Redis: it is only a bell, sweeps find the work later."""
    try:
        redis_at(settings.REDIS_URL).ping()
    except redis.RedisError as exc:
        return Finding("degraded", f"Redis does not answer ({type(exc).__name__}); work waits for the next sweep")
    return Finding("ok")


def check_metering() -> Finding:
    """Degraded while costs come later than MOST_METERING_LAG; the detail is how late."""
    lag = metering.lag(timezone.now())
    return Finding("degraded" if lag > MOST_METERING_LAG else "ok", f"{lag.total_seconds():.0f} s behind")


def check_prices() -> Finding:
    """Degraded while machines run without a price in force, or at one that nobody has read for too long."""
    found = price_standing(timezone.now())
    return Finding("degraded" if found.problems else "ok", str(found))


def check_books() -> Finding:
    """Degraded while cost records, their sums and what budgets have spent were found not to agree."""
    problems = book_faults.problems()
    return Finding("degraded", "; ".join(problems)) if problems else Finding("ok")


def check_seals() -> Finding:
    """Degraded while the audit log is not sealed, signed and published in time; the detail says how far it is."""
    found = seals.status()
    return Finding("degraded" if found.problems else "ok", str(found))


def check_retention() -> Finding:
    """Degraded while months that are past their retention cannot be archived; nothing is lost."""
    problems = retention.problems(timezone.now())
    return Finding("degraded", "; ".join(problems)) if problems else Finding("ok")


def check_verification() -> Finding:
    """Degraded while the audit log was found tampered with, or has not been verified in time."""
    found = standing(timezone.now())
    return Finding("degraded" if found.problems else "ok", str(found))


CHECKS: dict[str, Callable[[], Finding]] = {
    "database": check_database,
    "migrations": check_migrations,
    "partitions": check_partitions,
    "redis": check_redis,
    "metering": check_metering,
    "prices": check_prices,
    "books": check_books,
    "seals": check_seals,
    "retention": check_retention,
    "verification": check_verification,
}


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; touches nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when no check failed, else 503; `checks` tells each one's finding."""
    findings = run_checks()
    found = {finding.status for finding in findings.values()}
    status = "failed" if "failed" in found else "degraded" if "degraded" in found else "ok"
    checks = {name: vars(finding) for name, finding in findings.items()}
    return JsonResponse({"status": status, "checks": checks}, status=503 if status == "failed" else 200)


@scope.system()
def run_checks() -> dict[str, Finding]:
    """What every check of CHECKS found; one that PostgreSQL does not answer has failed.

    After it did not answer the first, only Redis is asked: each further one would wait for a connection once more.
    """
    findings: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        is_lost = "database" in findings and findings["database"].status == "failed"
        try:
            findings[name] = Finding("failed", "not asked") if is_lost and name != "redis" else check()
        except Error as exc:
            findings[name] = Finding("failed", type(exc).__name__)
    return findings


@cache
def redis_at(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
