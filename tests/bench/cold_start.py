"""`demo_cold_start`: seconds from `make demo` on a clean checkout until its address answers, and from the next one.

The first makes `.venv` from the lock (from the package index, or the cache of uv or pip where there is one), the
databases, the schema and the demo's data; the second finds all of them. It runs by itself (`make bench
ARGS=demo_cold_start`), for it is no work of a database: a clone of the commit that is checked out, in a folder that is
gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forge.env import BASE_DIR

NAME = "demo_cold_start"
LONGEST = 1800.0
"""Seconds after which a start has failed."""
_LOOK = 0.2


def measure() -> dict[str, Any]:
    """The entry of `.forge/bench.json`: `value` is the first start, `counts` has both, and the load before each."""
    folder = Path(tempfile.mkdtemp(prefix="forge-cold-"))
    try:
        folder.chmod(0o711)  # under root PostgreSQL runs as somebody else
        checkout = folder / "forge"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(BASE_DIR), str(checkout)], check=True)
        loads = []
        seconds = []
        for _ in range(2):
            loads.append(round(os.getloadavg()[0], 1))
            seconds.append(round(_start(checkout), 1))
    finally:
        subprocess.run(["make", "--silent", "clean"], cwd=folder / "forge", check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "value": seconds[0],
        "goal": None,
        "mine": seconds[0],
        "bare": None,
        "counts": {"first": seconds[0], "again": seconds[1], "load": loads, "samples": 1, "unit": "seconds"},
        "scale": "full",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def told(entry: dict[str, Any]) -> str:
    """The entry as a line of the table."""
    counts = entry["counts"]
    return f"{NAME:<36}{counts['first']:>8} s on a clean checkout, {counts['again']} s again, load {counts['load']}"


def _start(checkout: Path) -> float:
    """Start the demo, wait until it answers, end it; the seconds in between."""
    facts = checkout / ".forge" / "demo.json"
    facts.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    with (checkout.parent / "demo.log").open("ab") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=checkout,
            env=environment | {"FORGE_DEMO_PORT": "0"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not _answers(facts):
                if process.poll() is not None or time.monotonic() - began > LONGEST:
                    raise RuntimeError(f"the demo did not start:\n{(checkout.parent / 'demo.log').read_text()[-2000:]}")
                time.sleep(_LOOK)
            return time.monotonic() - began
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=120)


_OURS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "AWS_ENDPOINT_URL", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")
"""With the first four set, the demo would use those servers."""


def _answers(facts: Path) -> bool:
    try:
        address = json.loads(facts.read_text())["base_url"]
        with urllib.request.urlopen(f"{address}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, KeyError):
        return False
