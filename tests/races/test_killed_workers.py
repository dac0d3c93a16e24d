"""Workers killed with SIGKILL at random moments lose no machine and double none."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.utils import timezone

from forge.operations.models import Operation
from tests.world import actor, engineers
from workspaces import services
from workspaces.models import WorkSpace
from workspaces.simulator.server import Simulator

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 2


class Workers:
    """Processes that carry out operations until they are killed; `keep(n)` starts new ones for those that died."""

    def __init__(self, endpoint_url: str) -> None:
        self._environment = os.environ | {
            "AWS_ENDPOINT_URL": endpoint_url,
            "FORGE_OPERATION_LEASE_SECONDS": str(LEASE_SECONDS),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def keep(self, count: int) -> None:
        self._running = [worker for worker in self._running if worker.poll() is None]
        while len(self._running) < count:
            self._running.append(
                subprocess.Popen([sys.executable, "-m", "tests.races.worker"], cwd=ROOT, env=self._environment)
            )

    def kill_one(self, chance: random.Random) -> bool:
        """Kill one of those that run, wherever it is; False when there was none left to kill."""
        alive = [worker for worker in self._running if worker.poll() is None]
        if not alive:
            return False
        victim = chance.choice(alive)
        victim.kill()
        return victim.wait(timeout=10) == -signal.SIGKILL

    def stop(self) -> None:
        for worker in self._running:
            worker.kill()
        for worker in self._running:
            worker.wait(timeout=10)


def wait_for_work(deadline: float) -> None:
    """Until a worker has got somewhere with an operation: on a slow machine most of its life is starting up."""
    before = state_of_work()
    while state_of_work() == before and Operation.objects.open().exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def state_of_work() -> list[tuple]:
    return list(Operation.objects.order_by("id").values_list("status", "fencing_token", "heartbeat_at"))


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_workers_killed_at_random_launch_every_machine_once(world, scale, settings):
    launches = scale(100, 25)
    chance = random.Random(20)
    with Simulator(port=0, durations={"PENDING": 1.0}) as simulator:
        workers = Workers(simulator.url)
        try:
            for user in engineers(world, launches):
                services.launch(actor=actor(user), spec=world.spec(), now=timezone.now())
            deadline = time.monotonic() + 240
            kills = 0
            while Operation.objects.open().exists() and time.monotonic() < deadline:
                workers.keep(3)
                if kills < launches // 2:
                    wait_for_work(deadline)
                    time.sleep(chance.uniform(0, 0.3))
                    kills += workers.kill_one(chance)
                else:
                    time.sleep(0.1)
        finally:
            workers.stop()
        states = Counter(WorkSpace.objects.values_list("state", flat=True))
        assert states == {"AVAILABLE": launches}
        assert Counter(Operation.objects.values_list("status", flat=True)) == {"succeeded": launches}
        made = simulator.control.launches()
    assert len(made) == launches
    assert {(row["ever"], row["live"]) for row in made} == {(1, 1)}
    assert kills >= 5
