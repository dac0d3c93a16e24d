"""The console's pages of this room."""

from workspaces.admin.machines import StateChangeAdmin, WorkSpaceAdmin
from workspaces.admin.places import ApplicationStackAdmin, ProviderAccountAdmin
from workspaces.fleet.admin import UnmanagedMachineAdmin
from workspaces.leavers.admin import QuarantineAdmin
from workspaces.posture.admin import AttestationAdmin, FindingAdmin
from workspaces.regions.admin import RegionLatencyAdmin, RegionPolicyAdmin
from workspaces.rules.admin import DecisionAdmin, LifecyclePolicyAdmin

__all__ = [
    "ApplicationStackAdmin",
    "AttestationAdmin",
    "DecisionAdmin",
    "FindingAdmin",
    "LifecyclePolicyAdmin",
    "ProviderAccountAdmin",
    "QuarantineAdmin",
    "RegionLatencyAdmin",
    "RegionPolicyAdmin",
    "StateChangeAdmin",
    "UnmanagedMachineAdmin",
    "WorkSpaceAdmin",
]
