"""What admins set about regions: latencies that somebody measured, and the regions that a team may use."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from forge.accounts.models import Organization, Team, User
from forge.db.models import TimestampedModel, UUIDModel

MOST_MILLISECONDS = 5000


class OfOrganizationQuerySet(models.QuerySet):
    def visible_to(self, user: User) -> OfOrganizationQuerySet:
        """Everybody sees those of the organization: everybody's launches follow them."""
        return self if user.is_operator else self.filter(organization_id=user.organization_id)


class RegionLatency(UUIDModel, TimestampedModel):
    """The round trip between a place and a region as somebody measured it; null = as estimated from the distance."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, related_name="region_latencies"
    )
    place = models.CharField(max_length=64, help_text="As in people's `location`; case and accents do not matter.")
    region = models.CharField(max_length=32)
    milliseconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="Round trip; empty = as estimated from the distance."
    )
    source = models.CharField(max_length=200, help_text="Who or what measured it, and when.")

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "region latencies"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "place", "region"], name="workspaces_regionlatency_one_per_place_and_region"
            ),
            models.CheckConstraint(
                name="workspaces_regionlatency_milliseconds_in_range",
                condition=Q(milliseconds__isnull=True) | Q(milliseconds__gte=1, milliseconds__lte=MOST_MILLISECONDS),
            ),
            models.CheckConstraint(
                name="workspaces_regionlatency_says_where_and_whence", condition=~Q(place="") & ~Q(source="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.place} to {self.region}"


class RegionPolicy(UUIDModel, TimestampedModel):
    """The regions in which a team's machines may be launched; none named = every one that is open."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, related_name="region_policies"
    )
    team = models.ForeignKey(Team, on_delete=models.PROTECT, db_index=False, related_name="region_policies")
    regions = ArrayField(models.CharField(max_length=32), default=list, blank=True, help_text="Empty = all.")

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "region policies"
        constraints = [
            models.UniqueConstraint(fields=["organization", "team"], name="workspaces_regionpolicy_one_per_team"),
        ]

    def __str__(self) -> str:
        return f"regions of {self.team}"
