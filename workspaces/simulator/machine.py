"""One machine's life: its state is a pure function of what was recorded about it and the simulated time.

A command (`start`, `stop`, …) takes the machine as it is now and returns the machine as it will be recorded. Nothing
ticks: `at` carries a record forward through every change that has fallen due, with the instants at which they fell due.
All instants are simulated seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workspaces.simulator.errors import AwsError

HOUR = 3600.0

# Simulated seconds that a machine stays in each passing state. MODIFYING is no state of AWS: it is how long a change of
# compute type or of a volume takes.
DURATIONS: Mapping[str, float] = {
    "PENDING": 120.0,
    "STARTING": 60.0,
    "STOPPING": 60.0,
    "REBOOTING": 90.0,
    "TERMINATING": 60.0,
    "TERMINATED": 30.0,
    "MODIFYING": 120.0,
}
INSTANT: Mapping[str, float] = dict.fromkeys(DURATIONS, 0.0)

GONE = "GONE"  # what Describe no longer shows; no state of AWS
_NEXT = {
    "PENDING": "AVAILABLE",
    "STARTING": "AVAILABLE",
    "REBOOTING": "AVAILABLE",
    "STOPPING": "STOPPED",
    "TERMINATING": "TERMINATED",
    "TERMINATED": GONE,
}
_KEEPS_CONNECTION = {"AVAILABLE", "STARTING"}
_HOLDS_NO_USER = {"TERMINATED", GONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """A change of hardware under way: the fields in `changes` take their new values at `until`."""

    resource: str
    changes: dict[str, Any]
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One WorkSpace as last recorded; `position` counts the machines of its account and region."""

    workspace_id: str
    account: str
    region: str
    position: int
    directory_id: str
    user_name: str
    bundle_id: str
    created_at: float
    state: str
    since: float
    until: float | None
    running_mode: str
    auto_stop_minutes: int | None
    root_gib: int
    user_gib: int
    compute_type: str
    operating_system: str
    protocol: str
    volume_encryption_key: str | None = None
    user_volume_encrypted: bool | None = None
    root_volume_encrypted: bool | None = None
    connected: bool = False
    last_connected_at: float | None = None
    idle_since: float | None = None
    running_mode_changed_at: float | None = None
    compute_changed_at: float | None = None
    volumes_changed_at: float | None = None
    modification: Modification | None = None

    @property
    def is_gone(self) -> bool:
        return self.state == GONE

    @property
    def holds_user(self) -> bool:
        """Whether the directory user cannot have another machine yet."""
        return self.state not in _HOLDS_NO_USER

    @property
    def auto_stops_at(self) -> float | None:
        """When AWS will stop the machine for want of a connection, None while it will not."""
        if self.state != "AVAILABLE" or self.connected or self.running_mode != "AUTO_STOP" or self.idle_since is None:
            return None
        deadline = self.idle_since + (self.auto_stop_minutes or 60) * 60.0
        return max(deadline, self.running_mode_changed_at or deadline)


def at(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """The machine as it stands at `now`, carried through every change that has fallen due in the meantime."""
    while True:
        due, change = _next_change(machine)
        if due is None or due > now:
            return machine
        if change == "MODIFIED" and machine.modification is not None:
            machine = replace(machine, modification=None, **machine.modification.changes)
        else:
            machine = enter(machine, change, due, durations)


def enter(machine: Machine, state: str, when: float, durations: Mapping[str, float]) -> Machine:
    """The machine at the instant at which it comes into `state`; only a running or starting one keeps its user."""
    passing = state in _NEXT
    machine = replace(machine, state=state, since=when, until=when + durations[state] if passing else None)
    if machine.connected and state not in _KEEPS_CONNECTION:
        machine = replace(machine, connected=False, last_connected_at=when)
    return replace(machine, idle_since=when) if state == "AVAILABLE" else machine


def start(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    _require_stoppable_mode(machine, "started")
    _require_state(machine, {"STOPPED"}, "started")
    return enter(machine, "STARTING", now, durations)


def stop(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    _require_stoppable_mode(machine, "stopped")
    _require_state(machine, {"AVAILABLE", "IMPAIRED", "UNHEALTHY", "ERROR"}, "stopped")
    return enter(machine, "STOPPING", now, durations)


def reboot(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    _require_state(machine, {"AVAILABLE", "UNHEALTHY", "REBOOTING"}, "rebooted")
    return enter(machine, "REBOOTING", now, durations)


def terminate(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """Every state but SUSPENDED may be left for TERMINATING; asking twice changes nothing."""
    if machine.state in {"TERMINATING", "TERMINATED"}:
        return machine
    return enter(replace(machine, modification=None), "TERMINATING", now, durations)


def connect(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """The user logs in; a stopped AutoStop machine is woken by that, without StartWorkspaces."""
    if machine.state == "STOPPED" and machine.running_mode == "AUTO_STOP":
        return replace(enter(machine, "STARTING", now, durations), connected=True)
    _require_state(machine, {"AVAILABLE"}, "connected to")
    return replace(machine, connected=True)


def disconnect(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """The user logs off, and the AutoStop time begins to run; `durations` is there for the common signature."""
    if not machine.connected:
        return machine
    return replace(machine, connected=False, last_connected_at=now, idle_since=now)


def _next_change(machine: Machine) -> tuple[float | None, str]:
    changes: list[tuple[float, str]] = []
    if machine.until is not None:
        changes.append((machine.until, _NEXT[machine.state]))
    if machine.auto_stops_at is not None:
        changes.append((machine.auto_stops_at, "STOPPING"))
    if machine.modification is not None:
        changes.append((machine.modification.until, "MODIFIED"))
    return min(changes, default=(None, ""))


def _require_state(machine: Machine, states: set[str], verb: str) -> None:
    if machine.state not in states:
        raise AwsError(
            "InvalidResourceStateException",
            f"WorkSpace {machine.workspace_id} is {machine.state} and cannot be {verb}.",
        )


def _require_stoppable_mode(machine: Machine, verb: str) -> None:
    if machine.running_mode == "ALWAYS_ON":
        raise AwsError(
            "OperationNotSupportedException",
            f"WorkSpace {machine.workspace_id} has the running mode ALWAYS_ON and cannot be {verb}.",
        )
