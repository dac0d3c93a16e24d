"""The states of a machine and the moves between them, as one table that PostgreSQL enforces too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.db import models

from workspaces.capabilities import CAPABILITIES


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


class Event(StrEnum):
    """Why a machine moves: somebody's wish is carried out, or a look at AWS shows where it stands."""

    LAUNCHED = "launched"
    NO_MACHINE = "no machine"
    START = "start"
    STOP = "stop"
    TERMINATE = "terminate"
    SEEN = "seen in AWS"


PEOPLE, WORKER, RECONCILE = "people and rules", "worker", "worker, reconcile"
"""Who may: people by their role (docs/roles.md) and the rules of the lifecycle ask, workers and reconcile report."""


@dataclass(frozen=True)
class Move:
    """One line of the table: from `source`, by `event`, to `target`; `who` may bring it about."""

    source: State
    event: Event
    target: State
    who: str


def _wish(event: Event, target: State, *sources: State) -> tuple[Move, ...]:
    return tuple(Move(source, event, target, PEOPLE) for source in sources)


def _seen(source: State, *targets: State) -> tuple[Move, ...]:
    return tuple(Move(source, Event.SEEN, target, RECONCILE) for target in targets)


TABLE: tuple[Move, ...] = (
    Move(State.PENDING, Event.LAUNCHED, State.AVAILABLE, WORKER),
    Move(State.PENDING, Event.NO_MACHINE, State.FAILED, WORKER),
    *_wish(Event.START, State.STARTING, State.STOPPED),
    *_wish(Event.STOP, State.STOPPING, State.AVAILABLE),
    *_wish(
        Event.TERMINATE,
        State.TERMINATING,
        State.PENDING,
        State.AVAILABLE,
        State.STOPPING,
        State.STOPPED,
        State.STARTING,
    ),
    *_seen(State.PENDING, State.STOPPING, State.STOPPED, State.TERMINATING, State.TERMINATED),
    *_seen(State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING, State.TERMINATING, State.TERMINATED),
    *_seen(State.STOPPING, State.STOPPED, State.STARTING, State.AVAILABLE, State.TERMINATING, State.TERMINATED),
    *_seen(State.STOPPED, State.STARTING, State.AVAILABLE, State.STOPPING, State.TERMINATING, State.TERMINATED),
    *_seen(State.STARTING, State.AVAILABLE, State.STOPPING, State.STOPPED, State.TERMINATING, State.TERMINATED),
    *_seen(State.TERMINATING, State.TERMINATED),
)
"""Every move that there is; PostgreSQL refuses all others (migrations 0002 and 0013). Moves that skip a state
(AVAILABLE to STOPPED, STOPPED to STOPPING) are what a look at AWS shows when those between passed unseen."""

MOVES: dict[State, frozenset[State]] = {
    state: frozenset(move.target for move in TABLE if move.source == state) for state in State
}
"""From each state the states that may follow."""

ACTIONS: dict[str, tuple[State, ...]] = {
    **{
        event.value: tuple(move.source for move in TABLE if move.event == event)
        for event in (Event.START, Event.STOP, Event.TERMINATE)
    },
    "connect": (State.AVAILABLE, State.STOPPED),
    **{
        wish: tuple(state for state in LIVE_STATES if state != State.TERMINATING)
        for wish in ("keep-alive", "extend", "lease")
    },
    "modify": (State.AVAILABLE, State.STOPPED),
    **dict.fromkeys(("tag", "move"), (State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING)),
    "reboot": (State.AVAILABLE,),
    "rebuild": (State.AVAILABLE, State.STOPPED),
    "restore": (State.AVAILABLE, State.STOPPED),
}
"""What a person may ask for, and in which states. The end of a PENDING machine calls off its launch."""

BARRED_IN_QUARANTINE = frozenset({"start", "connect", "modify", "reboot", "rebuild", "restore", "lease", "move"})
"""What nobody may ask of a machine whose owner is switched off; it can still be stopped, kept alive and ended.
It does not move either: whoever it is handed to is of its team."""

BY_ITSELF_AFTER = timedelta(minutes=1)
"""After so long without its bulk operation a part of one is carried out like any other operation."""

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


STATE_NOT_KNOWN = "provider_state_not_known"
"""The code of what waits for a known state."""


class StateNotKnown(LookupError):
    """AWS shows a state that this version of Forge does not know, so nobody can tell what the machine is doing."""

    def __init__(self, provider_state: str) -> None:
        super().__init__(f"AWS shows the state {provider_state!r}, which Forge does not know")


def meaning_of(provider_state: str) -> Observed:
    """What an AWS state means to us; raises StateNotKnown for one that AWS has learned since."""
    try:
        return AWS_STATES[provider_state]
    except KeyError:
        raise StateNotKnown(provider_state) from None


def may_move(source: State | str, target: State | str) -> bool:
    """True when `target` may directly follow `source`."""
    return State(target) in MOVES[State(source)]


def legal_actions(state: State | str, running_mode: str, service_type: str = "WORKSPACES_PERSONAL") -> list[str]:
    """What a person may ask of a machine in this state, as far as its service can do it.

    AWS refuses to stop or start an AlwaysOn machine.
    """
    always_on = running_mode == "ALWAYS_ON"
    never = CAPABILITIES[service_type].never
    return [
        action
        for action, states in ACTIONS.items()
        if State(state) in states and action not in never and not (always_on and action in ("start", "stop", "lease"))
    ]
