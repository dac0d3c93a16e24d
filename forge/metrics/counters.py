"""Every counter that processes keep, and how the counts of many processes become one.

With PROMETHEUS_MULTIPROC_DIR set, each process keeps its counts in a file of that folder, and whoever is asked adds up
all of them: gunicorn's workers, and every worker of Celery on the same machine or in the same container. What a process
counted stays after its end. Without it a process knows its own counts only. Labels have few values, always: routes and
not addresses, kinds and not ids.
"""

from __future__ import annotations

import hmac
import os

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: it decides when that module is loaded, so a setting would come too late."""

SCHEME = "Bearer "

_OWN = CollectorRegistry()

REQUESTS = Counter("forge_http_requests", "Requests that were answered.", ["route", "method", "status"], registry=_OWN)
REQUEST_SECONDS = Histogram(
    "forge_http_request_duration_seconds",
    "From a request to its answer; a stream counts up to its first byte.",
    ["route", "method"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=_OWN,
)
ATTEMPTS = Counter(
    "forge_operation_attempts",
    "Times that a worker took up an operation, by what came of it: a status, a fault, or a lost lease.",
    ["kind", "way"],
    registry=_OWN,
)
OPERATION_SECONDS = Histogram(
    "forge_operation_duration_seconds",
    "From the request for an operation to its end.",
    ["kind", "outcome"],
    buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600),
    registry=_OWN,
)
AWS_CALLS = Counter(
    "forge_aws_calls",
    "Calls to AWS, by what became of them: ok, throttled, refused, failed, unreached.",
    ["service", "operation", "outcome"],
    registry=_OWN,
)
AWS_CALL_SECONDS = Histogram(
    "forge_aws_call_duration_seconds",
    "How long calls to AWS took.",
    ["service", "operation"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=_OWN,
)
AWS_TURNS_REFUSED = Counter("forge_aws_turns_refused", "Calls to AWS that our own limit put off.", registry=_OWN)
AWS_CIRCUITS_OPENED = Counter(
    "forge_aws_circuits_opened", "Times that calls to a service of AWS were given up for a while.", registry=_OWN
)


def processes() -> CollectorRegistry:
    """The counts of all processes that share the folder, or of this one."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return _OWN
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    return registry


def may_read(authorization: str) -> bool:
    """Whether a request with this header may read the figures: it has FORGE_METRICS_TOKEN, and there is one."""
    token = settings.FORGE_METRICS_TOKEN
    return bool(token) and hmac.compare_digest(authorization.encode(), f"{SCHEME}{token}".encode())
