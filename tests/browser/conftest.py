"""One demo and one Chromium for all tests here; they run by `make browser`, beside the others.

With FORGE_BROWSER_HOME they go to the demo that runs there already, as when one is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.e2e.demo import Demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    if running := os.environ.get("FORGE_BROWSER_HOME"):
        yield Demo(Path(running))
        return
    home = Path(tmp_path_factory.mktemp("demo"))
    for folder in (home, *home.parents[:3]):
        if folder.stat().st_uid == home.stat().st_uid and folder != Path("/tmp"):
            folder.chmod(0o711)  # PostgreSQL runs as somebody else where root starts it
    with Demo(home, within_seconds=900) as demo:
        yield demo


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one
