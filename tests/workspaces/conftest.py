"""The small world beside a running AWS simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from tests import world as worlds
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
