"""Raises of a budget for a time: who approved how much, until when and why."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from budgets.models.budgets import Budget
from costs.expressions import HourOf
from forge.accounts.models import Organization, User
from forge.db.models import TimestampedModel, UUIDModel


class RaiseQuerySet(models.QuerySet["BudgetRaise"]):
    def visible_to(self, user: User) -> RaiseQuerySet:
        """Those of budgets that the person may see."""
        if user.is_operator:
            return self
        budgets = Budget.objects.visible_to(user)
        return self.filter(organization_id=user.organization_id, budget__in=budgets)

    def open(self) -> RaiseQuerySet:
        """Those that still count in their budget's `raised`."""
        return self.filter(ended_at__isnull=True)

    def over(self, now: datetime) -> RaiseQuerySet:
        """Those that admit nothing any more and still count there."""
        return self.open().filter(ends_at__lte=now)


class BudgetRaise(UUIDModel, TimestampedModel):
    """By how much more a budget may be spent until a time, and who approved it.

    `ends_at` alone decides what launches and top-ups find, to the instant; the sweep then notes it in `ended_at` and
    lowers the budget's `raised`.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, db_index=False, related_name="raises")
    amount = models.DecimalField(max_digits=18, decimal_places=6)
    ends_at = models.DateTimeField(help_text="A whole UTC hour, at most the end of the budget's period.")
    reason = models.CharField(max_length=500)
    approved_by = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+",
        help_text="None = a command.",
    )  # fmt: skip
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Since when it does not count any more.")
    ended_by = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+",
        help_text="Who ended it early; none = it ended by itself.",
    )  # fmt: skip

    objects = RaiseQuerySet.as_manager()

    class Meta:
        verbose_name = "raise"
        constraints = [
            models.CheckConstraint(name="budgets_budgetraise_amount_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="budgets_budgetraise_ends_later", condition=Q(ends_at__gt=F("created_at"))),
            models.CheckConstraint(
                name="budgets_budgetraise_ends_with_an_hour", condition=Q(ends_at=HourOf("ends_at"))
            ),
            models.CheckConstraint(name="budgets_budgetraise_has_reason", condition=~Q(reason="")),
        ]
        indexes = [
            models.Index(fields=["budget", "ends_at"], name="budgets_raise_of_budget"),
            models.Index(fields=["ends_at"], condition=Q(ended_at__isnull=True), name="budgets_raise_to_end"),
            models.Index(F("organization"), F("created_at").desc(), F("id").desc(), name="budgets_raise_list"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} until {self.ends_at:%Y-%m-%d %H:%M} UTC"
