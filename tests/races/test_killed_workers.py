"""Workers killed with SIGKILL at random moments lose no machine and double none."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess

import pytest
from django.utils import timezone

from forge.operations.models import Operation
from tests.races import forked, worker
from tests.world import actor, engineers
from workspaces import services
from workspaces.models import WorkSpace
from workspaces.simulator.server import Simulator

LEASE_SECONDS = 2


class Workers:
    """Processes that carry out operations until they are killed; `keep(n)` starts new ones for those that died."""

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._running: list[BaseProcess] = []

    def keep(self, count: int) -> None:
        self._running = [process for process in self._running if process.is_alive()]
        while len(self._running) < count:
            self._running.append(forked.start(worker.main, self._endpoint_url, LEASE_SECONDS))

    def kill_one(self, chance: random.Random) -> bool:
        """Kill one of those that run, wherever it is; False when there was none left to kill."""
        alive = [process for process in self._running if process.is_alive()]
        if not alive:
            return False
        victim = chance.choice(alive)
        victim.kill()
        victim.join(timeout=10)
        return victim.exitcode == -signal.SIGKILL

    def stop(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            process.join(timeout=10)


def wait_for_work(deadline: float) -> None:
    """Until a worker has got somewhere with an operation: on a slow machine a part of its life is starting up."""
    before = state_of_work()
    while state_of_work() == before and Operation.objects.open().exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def state_of_work() -> list[tuple]:
    return list(Operation.objects.order_by("id").values_list("status", "fencing_token", "heartbeat_at"))


def carry_out(workers: Workers, chance: random.Random, *, kills: int) -> int:
    """Let workers carry out all that is open, killing so many of them on the way; answers how many were killed."""
    deadline = time.monotonic() + 240
    killed = 0
    while Operation.objects.open().exists() and time.monotonic() < deadline:
        workers.keep(3)
        if killed < kills:
            wait_for_work(deadline)
            time.sleep(chance.uniform(0, 0.1))
            killed += workers.kill_one(chance)
        else:
            time.sleep(0.1)
    return killed


def ask(verb: str, machines: list[WorkSpace]) -> None:
    for machine in machines:
        service = getattr(services, verb)
        service(actor=actor(machine.owner), workspace_id=machine.pk, now=timezone.now())


def histories(machines: list[WorkSpace]) -> set[tuple[str, ...]]:
    """The states that the machines passed through, each way once."""
    return {tuple(machine.state_changes.order_by("id").values_list("to_state", flat=True)) for machine in machines}


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_workers_killed_at_random_launch_stop_start_and_end_every_machine_once(world, scale, settings):
    launches = scale(100, 24)
    chance = random.Random(20)
    lives = {"PENDING": 1.0, "STOPPING": 0.5, "STARTING": 0.5, "TERMINATING": 0.5, "TERMINATED": 0.0}
    with Simulator(port=0, durations=lives) as simulator:
        workers = Workers(simulator.url)
        try:
            for user in engineers(world, launches):
                services.launch(actor=actor(user), spec=world.spec(), now=timezone.now())
            killed = carry_out(workers, chance, kills=launches // 2)
            states = Counter(WorkSpace.objects.values_list("state", flat=True))
            assert states == {"AVAILABLE": launches}
            made = simulator.control.launches()
            assert len(made) == launches
            assert {(row["ever"], row["live"]) for row in made} == {(1, 1)}
            assert killed >= launches // 6  # a fast machine is done before all are killed

            machines = list(WorkSpace.objects.select_related("owner").order_by("id"))
            ended, kept = machines[::2], machines[1::2]
            ask("terminate", ended)
            ask("stop", kept)
            killed = carry_out(workers, chance, kills=2)
            ask("start", kept)
            killed += carry_out(workers, chance, kills=2)
        finally:
            workers.stop()
        assert Counter(Operation.objects.values_list("status", flat=True)) == {"succeeded": 2 * launches + len(kept)}
        assert killed >= 2
        up = ("PENDING", "AVAILABLE")
        assert histories(ended) <= {(*up, "TERMINATING", "TERMINATED"), (*up, "TERMINATED")}
        assert histories(kept) <= {
            (*up, *stopping, "STOPPED", *starting, "AVAILABLE")
            for stopping in ((), ("STOPPING",))
            for starting in ((), ("STARTING",))
        }
        made = {row["user_name"]: (row["ever"], row["live"]) for row in simulator.control.launches()}
        assert {made[machine.directory_user] for machine in ended} == {(1, 0)}
        assert {made[machine.directory_user] for machine in kept} == {(1, 1)}
