"""Hooks of schemathesis: walks go from rows that are there, as people's do, not from ids that nobody has."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import schemathesis
from schemathesis.generation.meta import TestPhase

_MOST = 50
_seen: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_MOST))
"""The newest ids that each collection has shown, by its path; the first is the next to be taken."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Of a walk, ask lists for all that they have, and take ids that were seen; a made-up If-Match fits nothing."""
    if not _is_walk(case) or not case.meta.generation.mode.is_positive:
        return
    if case.method == "GET" and not case.path_parameters:
        case.query = {}
    if case.headers:
        case.headers.pop("If-Match", None)
    known = _seen[_collection(case)]
    if known and "id" in (case.path_parameters or {}) and case.path_parameters["id"] not in known:
        case.path_parameters["id"] = known[0]
        known.rotate(-1)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the ids that a list or a new row has shown."""
    if not _is_walk(case) or response.status_code >= 300 or case.path_parameters:
        return
    body = response.json() if response.content else None
    rows = body.get("results", [body]) if isinstance(body, dict) else []
    known = _seen[_collection(case)]
    for row in rows:
        if isinstance(row, dict) and row.get("id") not in (None, *known):
            known.append(row["id"])


def _is_walk(case: Any) -> bool:
    return case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL


def _collection(case: Any) -> str:
    return str(case.operation.path).partition("{")[0]
