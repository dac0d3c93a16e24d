"""Machines of people whose account is switched off: since when they rest, for whom and until when they are kept."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from forge.accounts.models import Organization, User
from forge.db.models import TimestampedModel, UUIDModel
from workspaces.models.machines import WorkSpace


class QuarantineQuerySet(models.QuerySet["Quarantine"]):
    def visible_to(self, user: User) -> QuarantineQuerySet:
        """Those of the machines that the person sees."""
        return self.filter(workspace__in=WorkSpace.objects.visible_to(user))

    def open(self) -> QuarantineQuerySet:
        """Those that are not over."""
        return self.filter(ended_at__isnull=True)


class Quarantine(UUIDModel, TimestampedModel):
    """One time in which a machine's owner is switched off, from the first look to the owner's return or its end.

    The machine is barred from use while it has `quarantined_at`; after a hand-over it is not, until `kept_until`.
    """

    class Outcome(models.TextChoices):
        RETURNED = "RETURNED", "The owner came back"
        MACHINE_ENDED = "MACHINE_ENDED", "The machine has ended"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="quarantines")
    began_at = models.DateTimeField()
    kept_until = models.DateTimeField(
        help_text="No rule ends the machine before; whoever wants its data saves it by then."
    )
    put_aside_until = models.DateTimeField(
        null=True, blank=True, help_text="The end of a person's own keep-alive that the quarantine's stands in for."
    )
    put_aside_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    heir = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+",
        help_text="Who is told and looks after what is on the machine; none = the admins.",
    )  # fmt: skip
    handed_over_at = models.DateTimeField(null=True, blank=True)
    hand_over_reason = models.CharField(max_length=500, blank=True, default="")
    reminded_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, blank=True, default="")

    objects = QuarantineQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["kept_until", "id"], condition=Q(ended_at__isnull=True), name="workspaces_quarantine_open"
            ),
            models.Index(fields=["workspace", "began_at"], name="workspaces_quarantine_machine"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace"], condition=Q(ended_at__isnull=True), name="workspaces_quarantine_one_open"
            ),
            models.CheckConstraint(
                condition=Q(kept_until__gt=F("began_at")), name="workspaces_quarantine_kept_for_a_time"
            ),
            models.CheckConstraint(
                condition=Q(handed_over_at__isnull=True) | Q(heir__isnull=False) & ~Q(hand_over_reason=""),
                name="workspaces_quarantine_handed_to_somebody",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, outcome="")
                | Q(ended_at__isnull=False, outcome__in=["RETURNED", "MACHINE_ENDED"]),
                name="workspaces_quarantine_ended_says_how",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} since {self.began_at:%Y-%m-%d}"

    def is_handed_over(self, now: datetime) -> bool:
        """Whether the heir may use the machine now."""
        return self.ended_at is None and self.handed_over_at is not None and self.kept_until > now
