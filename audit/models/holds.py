"""Legal holds."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from forge.db.models import UUIDModel


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def visible_to(self, user: Any) -> LegalHoldQuerySet:
        """Admins and auditors see their organization's holds, operators of the installation all."""
        if user.is_operator:
            return self
        if user.has_role("admin", "auditor"):
            return self.filter(organization_id=user.organization_id)
        return self.none()

    def active(self) -> LegalHoldQuerySet:
        return self.filter(released_at=None)


class LegalHold(UUIDModel):
    """Entries that must stay as they are: neither erasure nor retention touches what an active hold covers.

    An entry is covered when it meets all criteria that are given: organization (NULL = the whole installation), person
    (the acting one, or the one that the entry is about), resource, and when it was recorded, [start, end). Holds are
    never deleted, and the only change is their release, once (migration 0004).
    """

    organization_id = models.UUIDField(null=True, blank=True, help_text="Empty: the whole installation.")
    user_id = models.UUIDField(null=True, blank=True, help_text="Entries by this person or about them.")
    resource_type = models.CharField(max_length=128, blank=True, default="", help_text="As in the log: WorkSpace.")
    resource_id = models.CharField(max_length=128, blank=True, default="")
    period_start = models.DateTimeField(null=True, blank=True, help_text="UTC. Empty: from the beginning.")
    period_end = models.DateTimeField(null=True, blank=True, help_text="UTC, not included. Empty: without end.")
    reason = models.CharField(max_length=500)
    placed_by = models.UUIDField()
    placed_at = models.DateTimeField()
    released_by = models.UUIDField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.CharField(max_length=500, blank=True, default="")

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("organization_id", "placed_at", "id", name="audit_legalhold_placed")]
        constraints = [
            models.CheckConstraint(
                condition=Q(user_id__isnull=False)
                | ~Q(resource_type="")
                | Q(period_start__isnull=False)
                | Q(period_end__isnull=False),
                name="audit_legalhold_has_criterion",
            ),
            models.CheckConstraint(
                condition=Q(resource_type="", resource_id="") | (~Q(resource_type="") & ~Q(resource_id="")),
                name="audit_legalhold_whole_resource",
            ),
            models.CheckConstraint(
                condition=Q(period_start__isnull=True)
                | Q(period_end__isnull=True)
                | Q(period_start__lt=F("period_end")),
                name="audit_legalhold_period",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="audit_legalhold_has_reason"),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True, released_by__isnull=True, release_reason="")
                | (Q(released_at__isnull=False, released_by__isnull=False) & ~Q(release_reason="")),
                name="audit_legalhold_whole_release",
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.id}"

    @property
    def is_active(self) -> bool:
        return self.released_at is None

    @property
    def criteria(self) -> dict[str, Any]:
        """What is given of person, resource and period."""
        names = ("user_id", "resource_type", "resource_id", "period_start", "period_end")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, "")}
