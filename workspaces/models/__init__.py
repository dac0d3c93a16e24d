"""Machines: where they may stand, what they are and were, and every state that they passed through."""

from workspaces.models.attributions import AttributionChange
from workspaces.models.configurations import ConfigurationChange
from workspaces.models.machines import StateChange, StateChangeQuerySet, WorkSpace, WorkSpaceQuerySet, kept_alive
from workspaces.models.providers import (
    ApplicationStack,
    ApplicationStackQuerySet,
    CallAllowance,
    ProviderAccount,
    ProviderAccountQuerySet,
)
from workspaces.models.quarantines import Quarantine, QuarantineQuerySet
from workspaces.models.unmanaged import UnmanagedMachine, UnmanagedMachineQuerySet
from workspaces.posture.models import Attestation, AttestationQuerySet, Finding, FindingQuerySet
from workspaces.regions.models import RegionLatency, RegionPolicy
from workspaces.rules.models import Decision, LifecyclePolicy, UsageSample, WorkLease

__all__ = [
    "ApplicationStack",
    "ApplicationStackQuerySet",
    "Attestation",
    "AttestationQuerySet",
    "AttributionChange",
    "CallAllowance",
    "ConfigurationChange",
    "Decision",
    "Finding",
    "FindingQuerySet",
    "LifecyclePolicy",
    "ProviderAccount",
    "ProviderAccountQuerySet",
    "Quarantine",
    "QuarantineQuerySet",
    "RegionLatency",
    "RegionPolicy",
    "StateChange",
    "StateChangeQuerySet",
    "UnmanagedMachine",
    "UnmanagedMachineQuerySet",
    "UsageSample",
    "WorkLease",
    "WorkSpace",
    "WorkSpaceQuerySet",
    "kept_alive",
]
