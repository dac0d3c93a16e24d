"""Where machines may stand: provider accounts, what is offered there, and how often AWS may be called."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from blueprints.models import BundleType, OperatingSystem
from forge.accounts.models import Organization, User
from forge.db.models import TimestampedModel, UUIDModel
from workspaces.capabilities import CAPABILITIES


def every_service() -> list[str]:
    """What an account offers where nobody says otherwise."""
    return list(CAPABILITIES)


class ProviderAccountQuerySet(models.QuerySet["ProviderAccount"]):
    def visible_to(self, user: User) -> ProviderAccountQuerySet:
        """The accounts of the person's organization."""
        return self if user.is_operator else self.filter(organization_id=user.organization_id)

    def offering(self, service_type: str) -> ProviderAccountQuerySet:
        """Accounts in which machines of a service may be launched: they are on, and the service is."""
        return self.filter(enabled=True, services__contains=[service_type])


class ProviderAccount(UUIDModel, TimestampedModel):
    """An AWS account and region in which machines of an organization stand; credentials only by reference."""

    class Kind(models.TextChoices):
        AWS = "AWS", "AWS"
        SIMULATOR = "SIMULATOR", "Simulator"

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, related_name="provider_accounts"
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    account = models.CharField(max_length=12, help_text="AWS account number")
    region = models.CharField(max_length=32)
    role_arn = models.CharField(max_length=200, blank=True, default="")
    directory_id = models.CharField(max_length=32)
    subnets = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    volume_key = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="Alias or ARN of the KMS key for volumes of new machines; empty = alias/aws/workspaces.",
    )
    services = ArrayField(
        models.CharField(max_length=30),
        default=every_service,
        db_default=every_service(),
        help_text="What is launched there; AWS is asked for nothing else, unless machines of it stand there.",
    )
    enabled = models.BooleanField(default=True)
    gone_since = models.JSONField(
        default=dict,
        db_default={},
        editable=False,
        help_text="Of each service the places that AWS has no more, and since when each look has proved it.",
    )

    objects = ProviderAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="workspaces_provideraccount_name_unique"),
            models.UniqueConstraint(
                fields=["organization", "region"],
                condition=Q(enabled=True),
                name="workspaces_provideraccount_one_enabled_per_region",
            ),
            models.CheckConstraint(
                name="workspaces_provideraccount_kind_known", condition=Q(kind__in=["AWS", "SIMULATOR"])
            ),
            models.CheckConstraint(
                name="workspaces_provideraccount_services_known",
                condition=Q(services__len__gt=0)
                & Q(services__contained_by=["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"]),
            ),
            ExclusionConstraint(
                name="workspaces_provideraccount_directory_of_one_organization",
                expressions=[("region", "="), ("directory_id", "="), ("organization", "<>")],
            ),
            ExclusionConstraint(
                name="workspaces_provideraccount_role_of_one_organization",
                expressions=[("role_arn", "="), ("organization", "<>")],
                condition=~Q(role_arn=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.region})"

    def offers(self, service_type: str) -> bool:
        """Whether the service is switched on, be the account itself on or off."""
        return service_type in self.services


class ApplicationStackQuerySet(models.QuerySet["ApplicationStack"]):
    def visible_to(self, user: User) -> ApplicationStackQuerySet:
        """The stacks of the person's organization."""
        return self if user.is_operator else self.filter(organization_id=user.organization_id)

    def offered(self) -> ApplicationStackQuerySet:
        """What can be launched: marked, and seen to let nothing out of its sessions."""
        return self.marked().filter(closed_at__isnull=False)

    def marked(self) -> ApplicationStackQuerySet:
        """Stacks that are marked for the organization and large as a bundle, account and service on; closed or not."""
        accounts = ProviderAccount.objects.offering("WORKSPACES_APPLICATIONS")
        return self.filter(is_offered=True, provider_account__in=accounts).exclude(bundle_type="")


class ApplicationStack(UUIDModel, TimestampedModel):
    """A stack of WorkSpaces Applications as AWS last showed it: what can be streamed there, and on which instances."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, related_name="application_stacks"
    )
    provider_account = models.ForeignKey(
        ProviderAccount, on_delete=models.PROTECT, db_index=False, related_name="application_stacks"
    )
    name = models.CharField(max_length=100)
    fleet_name = models.CharField(max_length=100)
    fleet_type = models.CharField(max_length=20)
    fleet_state = models.CharField(max_length=20)
    instance_type = models.CharField(max_length=50)
    bundle_type = models.CharField(
        max_length=20, choices=BundleType.choices, blank=True, default="", help_text="Empty: as large as no bundle."
    )
    operating_system = models.CharField(max_length=10, choices=OperatingSystem.choices)
    application_ids = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    is_offered = models.BooleanField(default=True, help_text="Marked for the organization when AWS was last looked at.")
    closed_at = models.DateTimeField(
        null=True,
        help_text="Since when AWS is seen to let no clipboard, file or print out of its sessions; "
        "empty = it was not seen yet, or is open, and nobody launches from it.",
    )
    closing_asked = ArrayField(
        models.CharField(max_length=50),
        null=True,
        help_text="What AWS is asked to close, until it shows that it has.",
    )

    objects = ApplicationStackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider_account", "name"], name="workspaces_applicationstack_name_unique"
            ),
            models.CheckConstraint(
                name="workspaces_applicationstack_bundle_type_known",
                condition=Q(bundle_type="") | Q(bundle_type__in=BundleType.values),
            ),
            models.CheckConstraint(
                name="workspaces_applicationstack_closed_or_asked",
                condition=Q(closed_at__isnull=True) | Q(closing_asked__isnull=True),
            ),
            models.CheckConstraint(
                name="workspaces_applicationstack_operating_system_known",
                condition=Q(operating_system__in=["WINDOWS", "LINUX"]),
            ),
        ]
        indexes = [models.Index(fields=["organization", "name", "id"], name="workspaces_stack_by_name")]

    def __str__(self) -> str:
        return self.name


class CallAllowance(models.Model):
    """The token bucket of calls to one AWS account and region; unlogged, because it is worth nothing after a crash."""

    place = models.CharField(max_length=64, primary_key=True)
    tokens = models.FloatField(help_text="Calls that may be made at once; below 0 they wait.")
    refilled_at = models.DateTimeField()

    class Meta:
        verbose_name = "call allowance"

    def __str__(self) -> str:
        return self.place
