"""The money that machines hold in budgets."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q

from budgets.models.budgets import Budget
from forge.accounts.models import Organization, User
from forge.db.models import TimestampedModel, UUIDModel
from forge.operations.models import Operation
from workspaces.models import WorkSpace

EXPIRES_AFTER = timedelta(hours=24)
"""How long after the last attempt a launch that came to nothing keeps its reservation."""


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def visible_to(self, user: User) -> ReservationQuerySet:
        """Those in budgets that the person may see."""
        return self if user.is_operator else self.filter(budget__in=Budget.objects.visible_to(user))

    def live(self) -> ReservationQuerySet:
        """Those that have not been released."""
        return self.filter(released_at__isnull=True)


class Reservation(UUIDModel, TimestampedModel):
    """Money of one budget that is set aside for one machine, until it is spent or given back."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, db_index=False, related_name="reservations")
    workspace = models.ForeignKey(WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="reservations")
    operation = models.ForeignKey(
        Operation, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+",
        help_text="The launch that asked for it; none where adoption or a start made it.",
    )  # fmt: skip
    amount = models.DecimalField(max_digits=18, decimal_places=6, help_text="All that was ever set aside.")
    remaining = models.DecimalField(max_digits=18, decimal_places=6, help_text="What it still holds.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When a launch that never came to anything is called off."
    )
    kept_until = models.DateTimeField(
        null=True, blank=True,
        help_text="End of the hour until which more is held than needed: the machine left or became cheaper.",
    )  # fmt: skip
    released_at = models.DateTimeField(null=True, blank=True)
    correlation_id = models.UUIDField()

    objects = ReservationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "budget"],
                condition=Q(released_at__isnull=True),
                name="budgets_reservation_one_live_per_machine",
            ),
            models.CheckConstraint(name="budgets_reservation_remaining_not_negative", condition=Q(remaining__gte=0)),
            models.CheckConstraint(
                name="budgets_reservation_remaining_within_amount", condition=Q(remaining__lte=F("amount"))
            ),
            models.CheckConstraint(
                name="budgets_reservation_released_holds_nothing",
                condition=Q(released_at__isnull=True) | Q(remaining=0),
            ),
        ]
        indexes = [
            models.Index(fields=["budget", "released_at"], name="budgets_reservation_by_budget"),
            models.Index(
                fields=["expires_at"],
                condition=Q(released_at__isnull=True, expires_at__isnull=False),
                name="budgets_reservation_expiring",
            ),
            models.Index(
                fields=["kept_until"],
                condition=Q(released_at__isnull=True, kept_until__isnull=False),
                name="budgets_reservation_kept",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.amount} for {self.workspace_id}"
