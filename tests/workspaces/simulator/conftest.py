from collections.abc import Iterator

import pytest

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.machine import INSTANT
from workspaces.simulator.server import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator in which every change is complete at the next look."""
    with Simulator(durations=INSTANT) as running:
        yield running


@pytest.fixture
def cloud(simulator: Simulator) -> Cloud:
    return Cloud(simulator.url)


@pytest.fixture
def stepped() -> Iterator[Simulator]:
    """A simulator with the usual durations whose clock stands still until the test advances it."""
    with Simulator(speed=0) as running:
        yield running


@pytest.fixture
def stepped_cloud(stepped: Simulator) -> Cloud:
    return Cloud(stepped.url)
