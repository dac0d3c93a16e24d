"""One demo and one Chromium for all tests here; they run by `make browser`, beside the others.

With BROWSER_DEMO_HOME they go to the demo that runs there already, as when one is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.e2e.demo import Demo


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    if running := os.environ.get("BROWSER_DEMO_HOME"):
        yield Demo(Path(running))
        return
    # Not below pytest's folder, which each run closes to others: under root PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="forge-browser-") as home:
        Path(home).chmod(0o711)
        with Demo(Path(home), within_seconds=900) as demo:
            yield demo


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one
