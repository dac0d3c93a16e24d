"""Counts the calls to AWS by the events of botocore, so it needs no botocore of its own."""

from __future__ import annotations

import time
from typing import Any

from forge.metrics.counters import AWS_CALL_SECONDS, AWS_CALLS

THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Codes with which services of AWS say that they are called too often (botocore.retries.standard)."""

_NOTE = "forge_call"


def count_calls(events: Any) -> None:
    """Count the calls of a client from its events, or of all clients that a botocore session makes from now on."""
    events.register("before-call", _begin, unique_id="forge-begin")
    events.register("after-call", _end, unique_id="forge-end")
    events.register("after-call-error", _end, unique_id="forge-end-error")


def outcome_of(status: int, code: str) -> str:
    """One word for an answer of AWS with this HTTP status and error code."""
    if code in THROTTLES or status == 429:
        return "throttled"
    if status < 300:
        return "ok"
    return "failed" if status >= 500 else "refused"


def _begin(model: Any, context: dict[str, Any], **kwargs: Any) -> None:
    context[_NOTE] = (model.service_model.service_name, model.name, time.perf_counter())


def _end(context: dict[str, Any], parsed: dict[str, Any] | None = None, **kwargs: Any) -> None:
    service, operation, began = context[_NOTE]
    outcome = "unreached"
    if parsed is not None:
        status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
        outcome = outcome_of(status, parsed.get("Error", {}).get("Code", ""))
    AWS_CALLS.labels(service, operation, outcome).inc()
    AWS_CALL_SECONDS.labels(service, operation).observe(time.perf_counter() - began)
