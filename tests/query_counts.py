"""Queries per list, held against the committed figures of tests/query_counts.json.

`RECORD_QUERY_COUNTS=1 python -m pytest …` writes the figures anew; the difference is then reviewed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

FILE = Path(__file__).with_name("query_counts.json")
RECORD = "RECORD_QUERY_COUNTS"


def on_file() -> dict[str, int]:
    """Queries by name."""
    figures: dict[str, int] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return figures


def hold(name: str, ask: Callable[[], Any]) -> Any:
    """Run `ask` and assert that it makes as many queries as are on file under `name`; returns its answer."""
    with CaptureQueriesContext(connection) as queries:
        answer = ask()
    counts = on_file()
    if os.environ.get(RECORD):
        counts[name] = len(queries)
        FILE.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n")
    statements = "\n".join(query["sql"][:300] for query in queries)
    assert len(queries) == counts.get(name), f"{name}: {len(queries)} queries, {counts.get(name)} on file\n{statements}"
    return answer
