"""What can be launched: immutable blueprint versions and the bundles that each offers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forge.accounts.models import Membership, Organization, Team, User
from forge.db.models import TimestampedModel, UUIDModel


class BundleType(models.TextChoices):
    """AWS compute types that Forge offers, smallest first."""

    STANDARD = "STANDARD", "Standard"
    PERFORMANCE = "PERFORMANCE", "Performance"
    POWER = "POWER", "Power"
    POWERPRO = "POWERPRO", "PowerPro"
    GRAPHICS_G4DN = "GRAPHICS_G4DN", "Graphics.g4dn"
    GRAPHICSPRO_G4DN = "GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"


class OperatingSystem(models.TextChoices):
    WINDOWS = "WINDOWS", "Windows"
    LINUX = "LINUX", "Linux"


class BlueprintQuerySet(models.QuerySet["Blueprint"]):
    def visible_to(self, user: User) -> BlueprintQuerySet:
        """Organization-wide roles see all; others their teams' and the whole organization's."""
        if user.is_operator:
            return self
        blueprints = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return blueprints
        return blueprints.filter(Q(team__isnull=True) | Q(team_id__in=user.team_ids()))

    def newest(self) -> BlueprintQuerySet:
        """Only the newest published version of each family (organization, team, name)."""
        newest = (
            Blueprint.objects.filter(status=Blueprint.Status.PUBLISHED)
            .order_by("organization", "team", "name", "-version")
            .distinct("organization", "team", "name")
        )
        return self.filter(id__in=newest.values("id"))


class Blueprint(UUIDModel, TimestampedModel):
    """One version of a blueprint family; after DRAFT only its status and the status times change."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", "Draft"
        PUBLISHED = "PUBLISHED", "Published"
        RETIRED = "RETIRED", "Retired"

    class Origin(models.TextChoices):
        AUTO = "AUTO", "Automatic"
        MANUAL = "MANUAL", "Manual"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="blueprints")
    team = models.ForeignKey(
        Team,
        on_delete=models.PROTECT,
        db_index=False,
        null=True,
        blank=True,
        related_name="blueprints",
        help_text="None = the whole organization may use it.",
    )
    name = models.CharField(max_length=100, help_text="The family; it never changes.")
    version = models.PositiveIntegerField()
    parent_version = models.ForeignKey(
        "self", on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="child_versions"
    )
    description = models.TextField(blank=True, default="")
    operating_system = models.CharField(max_length=10, choices=OperatingSystem.choices)
    software_manifest = models.JSONField(default=dict, blank=True)
    configuration = models.JSONField(default=dict, blank=True)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.MANUAL)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    content_hash = models.CharField(max_length=64, blank=True, default="", help_text="SHA-256, set at publishing.")
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="created_blueprints"
    )
    published_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = BlueprintQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "team", "name", "version"],
                nulls_distinct=False,
                name="blueprints_blueprint_version_unique",
            ),
            models.CheckConstraint(name="blueprints_blueprint_version_positive", condition=Q(version__gte=1)),
            models.CheckConstraint(
                name="blueprints_blueprint_status_known", condition=Q(status__in=["DRAFT", "PUBLISHED", "RETIRED"])
            ),
            models.CheckConstraint(
                name="blueprints_blueprint_origin_known", condition=Q(origin__in=["AUTO", "MANUAL"])
            ),
            models.CheckConstraint(
                name="blueprints_blueprint_operating_system_known",
                condition=Q(operating_system__in=["WINDOWS", "LINUX"]),
            ),
            models.CheckConstraint(
                name="blueprints_blueprint_published_has_hash",
                condition=Q(status="DRAFT", content_hash="", published_at__isnull=True)
                | Q(status__in=["PUBLISHED", "RETIRED"], published_at__isnull=False) & ~Q(content_hash=""),
            ),
            models.CheckConstraint(
                name="blueprints_blueprint_retired_has_time",
                condition=Q(status="RETIRED", retired_at__isnull=False)
                | Q(status__in=["DRAFT", "PUBLISHED"], retired_at__isnull=True),
            ),
        ]
        indexes = [models.Index(fields=["team"], name="blueprints_blueprint_by_team")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class BlueprintBundleQuerySet(models.QuerySet["BlueprintBundle"]):
    def visible_to(self, user: User) -> BlueprintBundleQuerySet:
        """Those of the blueprints that the person sees."""
        return self.filter(blueprint__in=Blueprint.objects.visible_to(user))


class BlueprintBundle(UUIDModel):
    """An AWS bundle that a blueprint offers: one image and one compute type in one region."""

    blueprint = models.ForeignKey(Blueprint, on_delete=models.PROTECT, db_index=False, related_name="bundles")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    region = models.CharField(max_length=32)
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    bundle_id = models.CharField(max_length=64, help_text="AWS bundle id, wsb-…")
    image_id = models.CharField(max_length=64, blank=True, default="", help_text="AWS image id, wsi-…")

    objects = BlueprintBundleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["blueprint", "region", "bundle_type"], name="blueprints_blueprintbundle_unique"
            ),
            models.CheckConstraint(
                name="blueprints_blueprintbundle_type_known",
                condition=Q(bundle_type__in=BundleType.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bundle_type} in {self.region}"
