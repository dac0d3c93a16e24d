"""A process that carries out one sweep over all machines and says how much memory it took at the most."""

from __future__ import annotations

import resource
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from costs.metering import meter
from tests.bench.children import Told, serve
from workspaces.reconcile import reconcile
from workspaces.rules.sweep import enforce
from workspaces.rules.usage import collect

_STATUS = Path("/proc/self/status")

SWEEPS: dict[str, tuple[timedelta, Callable[..., dict[str, Any]]]] = {
    "meter_costs": (timedelta(minutes=30), meter),
    "collect_usage": (timedelta(minutes=30), collect),
    "reconcile_workspaces": (timedelta(minutes=30), reconcile),
    "enforce_lifecycle": (timedelta(minutes=65), enforce),
}
"""How long after the fleet's launch each sweep looks at it, and the sweep."""

HOURLY = {"meter_next_hour": (timedelta(minutes=90), meter)}
"""The sweep an hour after the first one."""


def sweep(name: str, launched_at: str) -> None:
    """Serve the line `go`: carry out the sweep, and answer its `figures` and memory `before` and at its `peak`."""
    after, work = (SWEEPS | HOURLY)[name]
    now = datetime.fromisoformat(launched_at) + after

    def handle(word: str) -> dict[str, Any]:
        before = peak_megabytes()
        figures = work(now=now)
        return {"before": before, "figures": figures, "peak": peak_megabytes()}

    serve(Told(), handle)


def peak_megabytes() -> float:
    """The most resident memory that this process had, in 10⁶ bytes.

    Linux starts getrusage's figure with that of the process that made this one, so /proc's is read where there is one.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
