"""The small world beside a running AWS simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from tests import world as worlds
from tests.workspaces.proxy import LossyProxy
from tests.workspaces.support import Clock
from workspaces.aws import patience
from workspaces.simulator.server import Simulator


@pytest.fixture
def simulator(settings) -> Iterator[Simulator]:
    """A simulator whose clock only moves when it is told to."""
    with Simulator(port=0, speed=1e-6) as running:
        settings.AWS_ENDPOINT_URL = running.url
        yield running


@pytest.fixture
def world(transactional_db, simulator) -> worlds.World:
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def proxy(simulator, settings):
    with LossyProxy(simulator.url) as running:
        settings.AWS_ENDPOINT_URL = running.url
        yield running


@pytest.fixture(autouse=True)
def rests(monkeypatch) -> list[float]:
    """The pauses of looks that were put off, in seconds; nobody sleeps."""
    taken: list[float] = []
    monkeypatch.setattr(patience, "sleep", taken.append)
    return taken


@pytest.fixture
def clock(simulator) -> Clock:
    return Clock(simulator)
