"""What DESIGN.md and docs/lifecycle.md say of states, written down once more: nothing here is read from the product."""

from __future__ import annotations

AVAILABLE_WITH_A_HEALTH = (
    "AVAILABLE", "IMPAIRED", "UNHEALTHY", "REBOOTING", "REBUILDING", "RESTORING", "MAINTENANCE", "ADMIN_MAINTENANCE",
    "UPDATING",
)  # fmt: skip

OURS: dict[str, str | None] = {
    **dict.fromkeys(AVAILABLE_WITH_A_HEALTH, "AVAILABLE"),
    "PENDING": "PENDING",
    "STOPPING": "STOPPING",
    "STOPPED": "STOPPED",
    "SUSPENDED": "STOPPED",
    "STARTING": "STARTING",
    "TERMINATING": "TERMINATING",
    "TERMINATED": "TERMINATED",
    "GONE": "TERMINATED",
    "ERROR": None,
}
"""AWS's state → ours; None = ours stays as it is. GONE is the simulator's word for what AWS does not show any more."""

TERMINAL = frozenset({"TERMINATED", "FAILED"})
RUNNING = frozenset({"STARTING", "AVAILABLE"})
"""Billed by the hour: from STARTING, or the first AVAILABLE, until STOPPING."""

_TURNING = ("AVAILABLE", "STOPPING", "STOPPED", "STARTING")

LEGAL: dict[str, frozenset[str]] = {
    "": frozenset({"PENDING"}),
    "PENDING": frozenset({"AVAILABLE", "FAILED"}),
    **{
        state: frozenset(other for other in _TURNING if other != state) | {"TERMINATING", "TERMINATED"}
        for state in _TURNING
    },
    "TERMINATING": frozenset({"TERMINATED"}),
    "TERMINATED": frozenset(),
    "FAILED": frozenset(),
}
"""From each state those that may follow. AWS turns a machine AVAILABLE, STOPPING, STOPPED, STARTING, AVAILABLE …, and
whoever looks every few minutes sees any of these after any other; from each of them it may end. A launch first comes to
AVAILABLE, or to FAILED when there is no machine."""

_LIVE = ("PENDING", "AVAILABLE", "STOPPING", "STOPPED", "STARTING")

ACTIONS: dict[str, tuple[str, ...]] = {
    "start": ("STOPPED",),
    "stop": ("AVAILABLE",),
    "terminate": _LIVE,
    "connect": ("AVAILABLE", "STOPPED"),
    "keep-alive": _LIVE,
    "extend": _LIVE,
    "lease": _LIVE,
    "modify": ("AVAILABLE", "STOPPED"),
    "tag": ("AVAILABLE", "STOPPING", "STOPPED", "STARTING"),
    "move": ("AVAILABLE", "STOPPING", "STOPPED", "STARTING"),
    "reboot": ("AVAILABLE",),
    "rebuild": ("AVAILABLE", "STOPPED"),
    "restore": ("AVAILABLE", "STOPPED"),
}

NOT_OF_ALWAYS_ON = frozenset({"start", "stop", "lease"})
NOT_OF_APPLICATIONS = frozenset({"start", "lease", "modify", "reboot", "rebuild", "restore"})


def allowed(state: str, running_mode: str, service_type: str) -> set[str]:
    """What a person may ask of such a machine."""
    withheld = NOT_OF_ALWAYS_ON if running_mode == "ALWAYS_ON" else frozenset()
    withheld |= NOT_OF_APPLICATIONS if service_type == "WORKSPACES_APPLICATIONS" else frozenset()
    return {action for action, states in ACTIONS.items() if state in states} - withheld
