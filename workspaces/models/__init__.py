"""Machines: where they may stand, what they are and were, and every state that they passed through."""

from workspaces.models.configurations import ConfigurationChange
from workspaces.models.machines import (
    CallAllowance,
    ProviderAccount,
    ProviderAccountQuerySet,
    StateChange,
    StateChangeQuerySet,
    UnmanagedMachine,
    UnmanagedMachineQuerySet,
    WorkSpace,
    WorkSpaceQuerySet,
    kept_alive,
)
from workspaces.models.quarantines import Quarantine, QuarantineQuerySet

__all__ = [
    "CallAllowance",
    "ConfigurationChange",
    "ProviderAccount",
    "ProviderAccountQuerySet",
    "Quarantine",
    "QuarantineQuerySet",
    "StateChange",
    "StateChangeQuerySet",
    "UnmanagedMachine",
    "UnmanagedMachineQuerySet",
    "WorkSpace",
    "WorkSpaceQuerySet",
    "kept_alive",
]
