"""What each of the two services of AWS can do with a machine, as flags that the rest of the room asks.

`docs/decisions/0004-applications.md` has the same table with AWS's words for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capabilities:
    """Flags of one service.

    `can_be_handed_over`: there is something on it that the heir of a leaver may be let in to save.
    `keeps_state_on_stop`: what is open and stored is there after a stop. `can_resize`: its size may be changed while it
    lives. `can_be_rebuilt`: it has a system of its own to reboot, rebuild and restore. `has_running_modes`: people
    choose AutoStop or AlwaysOn. `starts_by_itself`: there is nothing to start, because connecting does it.
    `joins_domain`: it is a computer of the directory. `address_lasts`: the address to connect to is known once and for
    all, else it is made for each time. `takes_batches`: AWS starts, stops and ends many in one call. `takes_tags`: AWS
    can tag it.
    """

    can_be_handed_over: bool
    keeps_state_on_stop: bool
    can_resize: bool
    can_be_rebuilt: bool
    has_running_modes: bool
    starts_by_itself: bool
    joins_domain: bool
    address_lasts: bool
    takes_batches: bool
    takes_tags: bool

    @property
    def never(self) -> frozenset[str]:
        """Actions that nobody may ask for, whatever the state."""
        withheld = {
            "start": self.starts_by_itself,
            "lease": self.starts_by_itself,
            "modify": not self.can_resize,
            "reboot": not self.can_be_rebuilt,
            "rebuild": not self.can_be_rebuilt,
            "restore": not self.can_be_rebuilt,
        }
        return frozenset(action for action, is_withheld in withheld.items() if is_withheld)


PERSONAL = Capabilities(
    can_be_handed_over=True,
    keeps_state_on_stop=True,
    can_resize=True,
    can_be_rebuilt=True,
    has_running_modes=True,
    starts_by_itself=False,
    joins_domain=True,
    address_lasts=True,
    takes_batches=True,
    takes_tags=True,
)
"""WorkSpaces Personal: a computer of one directory user, with volumes of its own."""

APPLICATIONS = Capabilities(
    can_be_handed_over=False,
    keeps_state_on_stop=False,
    can_resize=False,
    can_be_rebuilt=False,
    has_running_modes=False,
    starts_by_itself=True,
    joins_domain=False,
    address_lasts=False,
    takes_batches=False,
    takes_tags=False,
)
"""WorkSpaces Applications: a person's right to stream the applications of a stack; each session is a fresh one."""

CAPABILITIES: dict[str, Capabilities] = {
    "WORKSPACES_PERSONAL": PERSONAL,
    "WORKSPACES_APPLICATIONS": APPLICATIONS,
}
"""By service type."""
