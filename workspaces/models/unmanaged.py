"""Machines that AWS shows and that no row of ours describes."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from forge.accounts.models import Membership, Organization, Team, User
from forge.db.models import TimestampedModel, UUIDModel
from workspaces.models.machines import WorkSpace
from workspaces.models.providers import ProviderAccount


class UnmanagedMachineQuerySet(models.QuerySet["UnmanagedMachine"]):
    def visible_to(self, user: User) -> UnmanagedMachineQuerySet:
        """Admins and auditors see their organization's; others have nothing to decide there."""
        if user.is_operator:
            return self
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return self.filter(organization_id=user.organization_id)
        return self.none()

    def standing(self) -> UnmanagedMachineQuerySet:
        """Machines that AWS showed when it was last looked, and that nobody has adopted."""
        return self.filter(gone_at__isnull=True, adopted_at__isnull=True)


class UnmanagedMachine(UUIDModel, TimestampedModel):
    """A machine that AWS shows in a directory of ours and that no live row of ours describes.

    `verdict` says whether it can be adopted, as of the last look; `is_orphan` that it carries our tag although its row
    has ended or never was: AWS charges for what nobody here answers for.
    """

    class Verdict(models.TextChoices):
        ADOPTABLE = "ADOPTABLE", "Adoptable"
        TEAM_UNCLEAR = "TEAM_UNCLEAR", "Adoptable with a team"
        NO_OWNER = "NO_OWNER", "Nobody has this directory user name"
        OWNER_HAS_MACHINE = "OWNER_HAS_MACHINE", "The person has another machine"
        NOT_OFFERED = "NOT_OFFERED", "A kind that is not offered"
        NOT_SETTLED = "NOT_SETTLED", "Neither running nor stopped"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    provider_account = models.ForeignKey(
        ProviderAccount, on_delete=models.PROTECT, db_index=False, related_name="unmanaged_machines"
    )
    provider_id = models.CharField(max_length=64)
    directory_id = models.CharField(max_length=32)
    directory_user = models.CharField(max_length=63)
    bundle_id = models.CharField(max_length=64)
    bundle_type = models.CharField(max_length=32, help_text="AWS's ComputeTypeName.")
    operating_system = models.CharField(max_length=32, blank=True, default="", help_text="AWS's OperatingSystemName.")
    running_mode = models.CharField(max_length=32)
    root_volume_gb = models.PositiveIntegerField()
    user_volume_gb = models.PositiveIntegerField()
    auto_stop_minutes = models.PositiveIntegerField(default=0)
    provider_state = models.CharField(max_length=32)
    tags = models.JSONField(default=dict, blank=True)
    is_orphan = models.BooleanField(default=False)
    verdict = models.CharField(max_length=20, choices=Verdict.choices, default=Verdict.NOT_SETTLED)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    first_seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, help_text="When AWS no longer showed it.")
    workspace = models.OneToOneField(
        WorkSpace, on_delete=models.PROTECT, null=True, related_name="adopted_from", help_text="What it became."
    )
    adopted_at = models.DateTimeField(null=True)
    operation_id = models.UUIDField(null=True, help_text="The operation that adopted it.")

    objects = UnmanagedMachineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider_account", "provider_id"],
                condition=Q(gone_at__isnull=True, adopted_at__isnull=True),
                name="workspaces_unmanagedmachine_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    verdict__in=[
                        "ADOPTABLE",
                        "TEAM_UNCLEAR",
                        "NO_OWNER",
                        "OWNER_HAS_MACHINE",
                        "NOT_OFFERED",
                        "NOT_SETTLED",
                    ]
                ),
                name="workspaces_unmanagedmachine_verdict_known",
            ),
            models.CheckConstraint(
                condition=Q(adopted_at__isnull=True, workspace__isnull=True)
                | Q(adopted_at__isnull=False, workspace__isnull=False),
                name="workspaces_unmanagedmachine_adopted_whole",
            ),
            models.CheckConstraint(
                condition=~Q(verdict="ADOPTABLE") | Q(owner__isnull=False, team__isnull=False),
                name="workspaces_unmanagedmachine_adoptable_has_owner",
            ),
        ]
        indexes = [
            models.Index("organization", F("first_seen_at").desc(), F("id").desc(), name="workspaces_unmanaged_list"),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} of {self.directory_user}"
