"""The states of a machine and the moves between them, as data; PostgreSQL enforces that terminal is final."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models


class State(models.TextChoices):
    """Forge's own states; AWS's are kept beside them in `provider_state` and shown as health."""

    PENDING = "PENDING", "Pending"
    AVAILABLE = "AVAILABLE", "Available"
    STOPPING = "STOPPING", "Stopping"
    STOPPED = "STOPPED", "Stopped"
    STARTING = "STARTING", "Starting"
    TERMINATING = "TERMINATING", "Terminating"
    TERMINATED = "TERMINATED", "Terminated"
    FAILED = "FAILED", "Failed"


TERMINAL_STATES = (State.TERMINATED, State.FAILED)
LIVE_STATES = tuple(state for state in State if state not in TERMINAL_STATES)
BILLED_BY_HOUR_STATES = (State.STARTING, State.AVAILABLE)
"""An AutoStop machine is billed by the started hour in these states (AWS: from start until stop)."""

MOVES: dict[State, tuple[State, ...]] = {
    State.PENDING: (State.AVAILABLE, State.STOPPED, State.STOPPING, State.TERMINATING, State.TERMINATED, State.FAILED),
    State.AVAILABLE: (State.STOPPING, State.STOPPED, State.TERMINATING, State.TERMINATED),
    State.STOPPING: (State.STOPPED, State.STARTING, State.AVAILABLE, State.TERMINATING, State.TERMINATED),
    State.STOPPED: (State.STARTING, State.AVAILABLE, State.TERMINATING, State.TERMINATED),
    State.STARTING: (State.AVAILABLE, State.STOPPING, State.STOPPED, State.TERMINATING, State.TERMINATED),
    State.TERMINATING: (State.TERMINATED,),
    State.TERMINATED: (),
    State.FAILED: (),
}
"""From each state the states that may follow. Moves that skip a state (AVAILABLE to STOPPED) are what a look at AWS
shows when the one between passed unseen."""

ACTIONS: dict[str, tuple[State, ...]] = {
    "start": (State.STOPPED,),
    "stop": (State.AVAILABLE,),
    "terminate": (State.PENDING, State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING),
    "keep-alive": (State.PENDING, State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING),
}
"""What a person may ask for, and in which states."""

AUTOMATIC = {"automatic": True}
"""The spec of an operation that a rule asked for: a keep-alive calls it off, and one that fails is put off."""


@dataclass(frozen=True)
class Observed:
    """What an AWS state means to us: our state (None = keep ours) and the health to show."""

    state: State | None
    health: str


_HEALTHY = Observed(State.AVAILABLE, "HEALTHY")

AWS_STATES: dict[str, Observed] = {
    "PENDING": Observed(State.PENDING, ""),
    "AVAILABLE": _HEALTHY,
    **{
        name: Observed(State.AVAILABLE, name)
        for name in (
            "IMPAIRED",
            "UNHEALTHY",
            "REBOOTING",
            "REBUILDING",
            "RESTORING",
            "MAINTENANCE",
            "ADMIN_MAINTENANCE",
            "UPDATING",
        )
    },
    "STARTING": Observed(State.STARTING, ""),
    "STOPPING": Observed(State.STOPPING, ""),
    "STOPPED": Observed(State.STOPPED, ""),
    "SUSPENDED": Observed(State.STOPPED, "SUSPENDED"),
    "TERMINATING": Observed(State.TERMINATING, ""),
    "TERMINATED": Observed(State.TERMINATED, ""),
    "ERROR": Observed(None, "ERROR"),
}
"""All seventeen values of botocore's WorkspaceState."""


def may_move(source: State | str, target: State | str) -> bool:
    """True when `target` may directly follow `source`."""
    return State(target) in MOVES[State(source)]


def legal_actions(state: State | str, running_mode: str) -> list[str]:
    """What a person may ask of a machine in this state; AWS refuses to stop or start an AlwaysOn machine."""
    always_on = running_mode == "ALWAYS_ON"
    return [
        action
        for action, states in ACTIONS.items()
        if State(state) in states and not (always_on and action in ("start", "stop"))
    ]
