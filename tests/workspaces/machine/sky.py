"""The simulator as the truth about machines: what it has, whatever Forge was told, and what happens there by itself."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.workspaces.simulator.cloud import client
from workspaces.simulator.applications.common import SESSION, USER_STACK, pair, pairs
from workspaces.simulator.applications.sessions import of_fleet
from workspaces.simulator.history import STATES
from workspaces.simulator.machine import DURATIONS
from workspaces.simulator.server import Simulator
from workspaces.tagging.wanted import WORKSPACE

ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "engineering"
LIVES = dict(DURATIONS) | {"REBUILDING": 300.0, "RESTORING": 300.0}


@dataclass(frozen=True)
class Shown:
    """A machine of the simulator: AWS's word for its state, whose it is by its tag (empty = nobody's), its kind."""

    provider_id: str
    state: str
    workspace_id: str
    kind: tuple[str, str, int, int]
    is_changing: bool

    @property
    def is_live(self) -> bool:
        return self.state not in ("TERMINATED", "GONE")


class Sky:
    """A simulator at one address for the whole test; each example begins with an empty one at that address.

    What is read here is read from its memory, so that no declared fault strikes a question of the test.
    """

    def __init__(self) -> None:
        self._simulator = Simulator(port=0, speed=0).start()
        self._port = self._simulator.port
        self.url = self._simulator.url
        self._api = client("workspaces", self.url, access_key=ACCOUNT, strict=False)

    def begin(self, at: datetime) -> None:
        """An empty cloud at that instant."""
        self._simulator.stop()
        self._simulator = Simulator(port=self._port, speed=0, start=at.timestamp(), durations=LIVES).start()
        self.control = self._simulator.control

    def close(self) -> None:
        self._simulator.stop()

    # -- What is there -----------------------------------------------------------------------------------------------

    @property
    def _world(self) -> Any:
        return self._simulator._running().world

    @property
    def _place(self) -> Any:
        return self._world.place(ACCOUNT, REGION)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._world.clock.now(), UTC)

    def machines(self) -> list[Shown]:
        """Every machine that there ever was, also those that Describe does not show."""
        with self._world.lock:
            place, now = self._place, self._world.clock.now()
            return [
                Shown(
                    one.workspace_id,
                    one.state,
                    place.tags_of(one.workspace_id).get(WORKSPACE, ""),
                    (one.compute_type, one.running_mode, one.root_gib, one.user_gib),
                    is_changing=one.modification is not None,
                )
                for one in place.ever(now)
            ]

    def history(self, provider_id: str) -> list[tuple[float, str]]:
        """(since, state) of a machine, oldest first."""
        with self._world.lock:
            found = self._place.past(provider_id, self._world.clock.now())
        packed = found[1].packed() if found else b""
        count = len(packed) // 9
        return [
            (at, STATES[code // 2])
            for at, code in zip(array("d", packed[: count * 8]), packed[count * 8 :], strict=True)
        ]

    def holds(self, user: str) -> bool:
        """Whether a person has the right to use the stack."""
        with self._world.lock:
            return (user, STACK) in list(pairs(self._place, USER_STACK))

    def streams(self, user: str) -> bool:
        with self._world.lock:
            running = of_fleet(self._place, self._world.clock.now(), STACK)
            return any(one["user"] == user for one in running.values())

    def struck(self, kind: str) -> bool:
        """Whether a fault of this kind has struck."""
        with self._world.lock:
            return any(fault["kind"] == kind and fault["struck"] for fault in self._world.faults.show())

    # -- What happens by itself --------------------------------------------------------------------------------------

    def take_right(self, user: str) -> None:
        """Whoever runs the AWS account takes a person's right away, with what he streams."""
        self.leave(user)
        with self._world.lock:
            now = self._world.clock.now()
            self._place.commit(now=now, records={(USER_STACK, pair(user, STACK)): None})

    def leave(self, user: str) -> None:
        """A person's sessions end."""
        with self._world.lock:
            place, now = self._place, self._world.clock.now()
            mine = [name for name, one in place.records(SESSION).items() if one["user"] == user]
            place.commit(now=now, records={(SESSION, name): None for name in mine})

    def drift(self, provider_id: str, **properties: Any) -> None:
        """Somebody changes a machine in AWS's own console."""
        with self._world.lock:
            before = self._place.find(provider_id, self._world.clock.now())
        if before is not None:
            self._api.modify_workspace_properties(WorkspaceId=provider_id, WorkspaceProperties=properties)

    def end(self, provider_id: str) -> None:
        """Somebody ends a machine in AWS's own console."""
        self._api.terminate_workspaces(TerminateWorkspaceRequests=[{"WorkspaceId": provider_id}])
