"""The small world, with a simulator whose machines are ready at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import world as worlds
from workspaces.simulator.machine import INSTANT
from workspaces.simulator.server import Simulator


@pytest.fixture
def simulator(settings) -> Iterator[Simulator]:
    with Simulator(port=0, durations=INSTANT) as running:
        settings.AWS_ENDPOINT_URL = running.url
        yield running


@pytest.fixture
def world(transactional_db, simulator) -> worlds.World:
    return worlds.build()
