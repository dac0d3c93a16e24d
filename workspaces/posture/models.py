"""What was found wrong, from when until when."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from forge.accounts.models import Membership, Organization, User
from forge.db.models import UUIDModel
from workspaces.models.machines import WorkSpace


class FindingQuerySet(models.QuerySet["Finding"]):
    def visible_to(self, user: User) -> FindingQuerySet:
        """Admins and auditors see all, a lead those of the team's and the own machines, others of the own.

        Those of a machine's directory or stack are seen by whoever sees the machine's own.
        """
        if user.is_operator:
            return self
        found = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return found
        machines = WorkSpace.objects.filter(organization_id=user.organization_id)
        return found.of_machines(machines.filter(Q(owner_id=user.id) | Q(team_id__in=user.led_team_ids())))

    def of_machines(self, machines: QuerySet[WorkSpace]) -> FindingQuerySet:
        """Those of the machines, and of the directories or stacks in which they stand."""
        there = machines.filter(provider_account=OuterRef("provider_account"), directory_id=OuterRef("subject"))
        return self.filter(Q(workspace__in=machines) | Q(workspace__isnull=True) & Exists(there))

    def open(self) -> FindingQuerySet:
        """Those that stand."""
        return self.filter(resolved_at__isnull=True)


class Finding(UUIDModel):
    """One thing that is not as safe as it should be: at most one open per subject and check, each resolved one stays.

    `subject` is AWS's id of the machine or directory, the name of the stack, or what AWS does not let Forge ask.
    """

    class Check(models.TextChoices):
        PROTOCOL = "protocol", "Protocol is not DCV"
        VOLUME_ENCRYPTION = "volume_encryption", "Volumes are not encrypted"
        DOMAIN_JOIN = "domain_join", "Not joined to its domain"
        INTERNET_ACCESS = "internet_access", "Directory gives machines internet access"
        SELF_SERVICE = "self_service", "People may change machines past Forge"
        LOCAL_ADMINISTRATOR = "local_administrator", "People are administrators of their machines"
        STACK_TRANSFERS = "stack_transfers", "Clipboard, files or printing are open"
        ZERO_CLIENTS = "zero_clients", "PCoIP zero clients may connect"
        VOLUME_KEY = "volume_key", "Volumes are encrypted under another key"
        ATTESTATION = "attestation", "Group policies are not attested"
        TAG_ACCESS = "tag_access", "Tags of machines may not be read"
        SERVICE_ACCESS = "service_access", "A service does not answer"
        DIRECTORY_MISSING = "directory_missing", "Directory is not there any more"
        STACK_MISSING = "stack_missing", "Stack is not there any more"
        TAGS_DIFFER = "tags_differ", "Tags in AWS are not as wanted, and cannot be mended"

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
                        "zero_clients",
                        "volume_key",
                        "attestation",
                        "tag_access",
                        "service_access",
                        "directory_missing",
                        "stack_missing",
                        "tags_differ",
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

    @property
    def is_attested(self) -> bool:
        """True where people's word is looked at, and not AWS."""
        return self.check_name == self.Check.ATTESTATION


class AttestationQuerySet(models.QuerySet["Attestation"]):
    def visible_to(self, user: User) -> AttestationQuerySet:
        """Admins and auditors see those of the organization: they bear names."""
        if user.is_operator:
            return self
        if not user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return self.none()
        return self.filter(organization_id=user.organization_id)

    def valid(self, now: datetime) -> AttestationQuerySet:
        """Those that hold at `now`."""
        return self.filter(attested_at__lte=now, valid_until__gt=now, withdrawn_at__isnull=True)


class Attestation(UUIDModel):
    """Somebody's word, until a day, that a group policy of a directory is as it should be: AWS does not show it."""

    class Control(models.TextChoices):
        CLIPBOARD = "clipboard", "Clipboard is off"
        USB = "usb", "USB devices are off"
        DRIVES = "drives", "Drives are not redirected"
        PRINTING = "printing", "Printing is off"
        WATERMARK = "watermark", "A watermark is shown"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    provider_account = models.ForeignKey(
        "workspaces.ProviderAccount", on_delete=models.PROTECT, db_index=False, related_name="attestations"
    )
    directory_id = models.CharField(max_length=32)
    control = models.CharField(max_length=20, choices=Control.choices)
    attested_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    attested_at = models.DateTimeField()
    valid_until = models.DateTimeField()
    note = models.CharField(max_length=500, help_text="What was looked at: the policy object, a ticket, a report.")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = AttestationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="workspaces_attestation_control_known",
                condition=Q(control__in=["clipboard", "usb", "drives", "printing", "watermark"]),
            ),
            models.CheckConstraint(
                name="workspaces_attestation_ends_later", condition=Q(valid_until__gt=F("attested_at"))
            ),
            models.CheckConstraint(
                name="workspaces_attestation_withdrawn_later",
                condition=Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=F("attested_at")),
            ),
            models.CheckConstraint(name="workspaces_attestation_says_what", condition=~Q(note="")),
        ]
        indexes = [
            models.Index("organization", F("attested_at").desc(), F("id").desc(), name="workspaces_attestation_list"),
            models.Index(
                fields=["provider_account", "directory_id", "control"],
                condition=Q(withdrawn_at__isnull=True),
                name="workspaces_attestation_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.control} of {self.directory_id}"
