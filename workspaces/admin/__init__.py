"""The console's pages of this room."""

from workspaces.admin.machines import ProviderAccountAdmin, StateChangeAdmin, WorkSpaceAdmin
from workspaces.posture.admin import FindingAdmin
from workspaces.regions.admin import RegionLatencyAdmin, RegionPolicyAdmin
from workspaces.rules.admin import DecisionAdmin, LifecyclePolicyAdmin

__all__ = [
    "DecisionAdmin",
    "FindingAdmin",
    "LifecyclePolicyAdmin",
    "ProviderAccountAdmin",
    "RegionLatencyAdmin",
    "RegionPolicyAdmin",
    "StateChangeAdmin",
    "WorkSpaceAdmin",
]
