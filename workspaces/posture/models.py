"""What was found wrong, from when until when."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from forge.accounts.models import Membership, Organization, User
from forge.db.models import UUIDModel


class FindingQuerySet(models.QuerySet["Finding"]):
    def visible_to(self, user: User) -> FindingQuerySet:
        """Admins and auditors see all, a lead those of the team's and the own machines, others of the own."""
        if user.is_operator:
            return self
        found = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return found
        return found.filter(Q(workspace__owner_id=user.id) | Q(workspace__team_id__in=user.led_team_ids()))

    def open(self) -> FindingQuerySet:
        """Those that stand."""
        return self.filter(resolved_at__isnull=True)


class Finding(UUIDModel):
    """One thing that is not as safe as it should be: at most one open per subject and check, each resolved one stays.

    `subject` is AWS's id of the machine or directory, or the name of the stack.
    """

    class Check(models.TextChoices):
        PROTOCOL = "protocol", "Protocol is not DCV"
        VOLUME_ENCRYPTION = "volume_encryption", "Volumes are not encrypted"
        DOMAIN_JOIN = "domain_join", "Not joined to its domain"
        INTERNET_ACCESS = "internet_access", "Directory gives machines internet access"
        SELF_SERVICE = "self_service", "People may change machines past Forge"
        LOCAL_ADMINISTRATOR = "local_administrator", "People are administrators of their machines"
        STACK_TRANSFERS = "stack_transfers", "Clipboard, files or printing are open"

    class Severity(models.TextChoices):
        HIGH = "HIGH", "High"
        MEDIUM = "MEDIUM", "Medium"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    provider_account = models.ForeignKey(
        "workspaces.ProviderAccount", on_delete=models.PROTECT, db_index=False, related_name="findings"
    )
    workspace = models.ForeignKey("workspaces.WorkSpace", on_delete=models.PROTECT, null=True, related_name="findings")
    subject = models.CharField(max_length=255)
    # Named so because Model.check is Django's.
    check_name = models.CharField("check", max_length=30, choices=Check.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    detail = models.JSONField(default=dict)
    found_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider_account", "subject", "check_name"],
                condition=Q(resolved_at__isnull=True),
                name="workspaces_finding_one_open",
            ),
            models.CheckConstraint(
                name="workspaces_finding_check_known",
                condition=Q(
                    check_name__in=[
                        "protocol",
                        "volume_encryption",
                        "domain_join",
                        "internet_access",
                        "self_service",
                        "local_administrator",
                        "stack_transfers",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="workspaces_finding_severity_known", condition=Q(severity__in=["HIGH", "MEDIUM"])
            ),
            models.CheckConstraint(
                name="workspaces_finding_resolved_later",
                condition=Q(resolved_at__isnull=True) | Q(resolved_at__gte=F("found_at")),
            ),
        ]
        indexes = [
            models.Index("organization", F("found_at").desc(), F("id").desc(), name="workspaces_finding_list"),
        ]

    def __str__(self) -> str:
        return f"{self.check_name} of {self.subject}"
