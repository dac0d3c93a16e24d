"""The console's pages of this room."""

from workspaces.admin.machines import ProviderAccountAdmin, StateChangeAdmin, WorkSpaceAdmin
from workspaces.regions.admin import RegionLatencyAdmin, RegionPolicyAdmin
from workspaces.rules.admin import DecisionAdmin, LifecyclePolicyAdmin

__all__ = [
    "DecisionAdmin",
    "LifecyclePolicyAdmin",
    "ProviderAccountAdmin",
    "RegionLatencyAdmin",
    "RegionPolicyAdmin",
    "StateChangeAdmin",
    "WorkSpaceAdmin",
]
