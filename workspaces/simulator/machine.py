"""One machine's life: its state is a pure function of what was recorded about it and the simulated time.

A command (`start`, `stop`, …) takes the machine as it is now and returns the machine as it will be recorded. Nothing
ticks: `at` carries a record forward through every change that has fallen due, with the instants at which they fell due.
All instants are simulated seconds since 1970.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from workspaces.simulator.errors import AwsError
from workspaces.simulator.usage import DAY, LOOKAHEAD_DAYS, Usage

HOUR = 3600.0

# Simulated seconds that a machine stays in each passing state. MODIFYING is no state of AWS: it is how long a change of
# compute type or of a volume takes. The fleets are those of WorkSpaces Applications.
DURATIONS: Mapping[str, float] = {
    "PENDING": 120.0,
    "STARTING": 60.0,
    "STOPPING": 60.0,
    "REBOOTING": 90.0,
    "REBUILDING": 1_800.0,
    "RESTORING": 1_800.0,
    "TERMINATING": 60.0,
    "TERMINATED": 30.0,
    "MODIFYING": 120.0,
    "FLEET_STARTING": 600.0,
    "FLEET_STOPPING": 300.0,
}
INSTANT: Mapping[str, float] = dict.fromkeys(DURATIONS, 0.0)

GONE = "GONE"  # what Describe no longer shows; no state of AWS
_NEXT = {
    "PENDING": "AVAILABLE",
    "STARTING": "AVAILABLE",
    "REBOOTING": "AVAILABLE",
    "REBUILDING": "AVAILABLE",
    "RESTORING": "AVAILABLE",
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
class Fate:
    """What comes instead of AVAILABLE the next time: a state, and the error that AWS shows with it."""

    state: str
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One WorkSpace as last recorded; `position` counts the machines of its account and region.

    `visible_from` is when Describe begins to show it. Of its user's pattern, `visited_until` is the end of the last
    session that was looked at and `leaves_at` the end of the one under way.
    """

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
    compute_reduced_at: float | None = None
    volumes_changed_at: float | None = None
    modification: Modification | None = None
    visible_from: float | None = None
    fate: Fate | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: Usage | None = None
    visited_until: float = 0.0
    leaves_at: float | None = None

    @property
    def person(self) -> str:
        """The directory user, as patterns know him: also after another machine was made for him."""
        return f"{self.directory_id}/{self.user_name.casefold()}"

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
    *_, (_, machine) = [(now, machine), *steps(machine, now, durations)]
    return machine


def steps(machine: Machine, now: float, durations: Mapping[str, float]) -> Iterator[tuple[float, Machine]]:
    """Every change that falls due until `now`, with its instant and the machine after it."""
    while True:
        due, change = next_change(machine)
        if due is None or due > now:
            return
        machine = _changed(machine, change, due, durations)
        yield due, machine


def next_change(machine: Machine) -> tuple[float | None, str]:
    """When the machine will change by itself and into what; None for never."""
    changes: list[tuple[float, str]] = []
    if machine.until is not None:
        changes.append((machine.until, _NEXT[machine.state]))
    if machine.auto_stops_at is not None:
        changes.append((machine.auto_stops_at, "STOPPING"))
    if machine.modification is not None:
        changes.append((machine.modification.until, "MODIFIED"))
    if machine.leaves_at is not None:
        changes.append((machine.leaves_at, "LEFT"))
    elif machine.usage is not None and machine.usage.sessions and not machine.connected and _may_log_on(machine):
        changes.append(_next_visit(machine, machine.usage))
    return min(changes, default=(None, ""))


def _changed(machine: Machine, change: str, due: float, durations: Mapping[str, float]) -> Machine:
    if change == "MODIFIED" and machine.modification is not None:
        return replace(machine, modification=None, **machine.modification.changes)
    if change == "LEFT":
        return disconnect(machine, due, durations)
    if change == "NOBODY" or (change == "VISITED" and machine.usage is None):
        return replace(machine, visited_until=due)
    if change == "VISITED" and machine.usage is not None:
        session = machine.usage.session_after(machine.person, max(machine.since, machine.visited_until))
        leaves_at = session[1] if session else due
        return replace(connect(machine, due, durations), visited_until=leaves_at, leaves_at=leaves_at)
    if change == "AVAILABLE" and machine.fate is not None:
        fate = machine.fate
        machine = replace(machine, fate=None, error_code=fate.error_code, error_message=fate.error_message)
        change = fate.state
    return enter(machine, change, due, durations)


def _may_log_on(machine: Machine) -> bool:
    return machine.state == "AVAILABLE" or (machine.state == "STOPPED" and machine.running_mode == "AUTO_STOP")


def _next_visit(machine: Machine, usage: Usage) -> tuple[float, str]:
    """The user's next log-on: once in each session of the pattern, as soon as the machine can take it."""
    since = max(machine.since, machine.visited_until)
    session = usage.session_after(machine.person, since)
    return (since + LOOKAHEAD_DAYS * DAY, "NOBODY") if session is None else (max(since, session[0]), "VISITED")


def enter(machine: Machine, state: str, when: float, durations: Mapping[str, float]) -> Machine:
    """The machine at the instant at which it comes into `state`; only a running or starting one keeps its user."""
    until = when + durations[state] if state in _NEXT else None
    machine = replace(machine, state=state, since=when, until=until)
    if state == "AVAILABLE":
        machine = replace(machine, error_code=None, error_message=None, idle_since=when)
    if machine.connected and state not in _KEEPS_CONNECTION:
        machine = replace(machine, connected=False, leaves_at=None, last_connected_at=when)
    return machine


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


def rebuild(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    _require_state(machine, {"AVAILABLE", "ERROR", "UNHEALTHY", "STOPPED", "REBOOTING"}, "rebuilt")
    return enter(replace(machine, modification=None), "REBUILDING", now, durations)


def restore(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    _require_state(machine, {"AVAILABLE", "ERROR", "UNHEALTHY", "STOPPED"}, "restored")
    return enter(replace(machine, modification=None), "RESTORING", now, durations)


def terminate(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """Every state but SUSPENDED may be left for TERMINATING; asking twice changes nothing."""
    if machine.state in {"TERMINATING", "TERMINATED"}:
        return machine
    if machine.state == "SUSPENDED":
        raise _wrong_state(machine, "terminated")
    return enter(replace(machine, modification=None), "TERMINATING", now, durations)


def vanish(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """The machine is gone at once, without TERMINATING."""
    return enter(replace(machine, modification=None), GONE, now, durations)


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
    seen = max(machine.visited_until, now)  # of a pattern's sessions those that passed meanwhile are over
    return replace(machine, connected=False, leaves_at=None, visited_until=seen, last_connected_at=now, idle_since=now)


def _require_state(machine: Machine, states: set[str], verb: str) -> None:
    if machine.state not in states:
        raise _wrong_state(machine, verb)


def _wrong_state(machine: Machine, verb: str) -> AwsError:
    text = f"WorkSpace {machine.workspace_id} is {machine.state} and cannot be {verb}."
    return AwsError("InvalidResourceStateException", text)


def _require_stoppable_mode(machine: Machine, verb: str) -> None:
    if machine.running_mode == "ALWAYS_ON":
        raise AwsError(
            "OperationNotSupportedException",
            f"WorkSpace {machine.workspace_id} has the running mode ALWAYS_ON and cannot be {verb}.",
        )
