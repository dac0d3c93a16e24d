"""Where the books did not agree: what the nightly proof found, and when it was found no more."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from costs.bills.models import OfOrganization
from forge.accounts.models import Organization


class BookFaultQuerySet(OfOrganization):
    def open(self) -> BookFaultQuerySet:
        """Those that stand."""
        return self.filter(resolved_at__isnull=True)


class BookFault(models.Model):
    """Sums that differ from the cost records that they are of, or a budget's spent from its scope's costs."""

    class Kind(models.TextChoices):
        DAILY = "DAILY", "Daily sums and records"
        TOTAL = "TOTAL", "Daily totals and daily sums"
        TAG = "TAG", "Sums by tag and records"
        BUDGET = "BUDGET", "A budget's spent and the costs of its scope"

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=6, choices=Kind.choices)
    day = models.DateField(null=True, blank=True, help_text="UTC; none of a budget.")
    subject = models.CharField(max_length=127, blank=True, default="", help_text="The tag's key or the budget's id.")
    expected = models.DecimalField(max_digits=20, decimal_places=6, help_text="By the records.")
    found = models.DecimalField(max_digits=20, decimal_places=6)
    groups = models.PositiveIntegerField(default=1, help_text="Sums that differ; `expected` and `found` are of these.")
    seen_at = models.DateTimeField(help_text="When it was found first.")
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When the books were found to agree again.")

    objects = BookFaultQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "day", "subject"],
                condition=Q(resolved_at__isnull=True),
                nulls_distinct=False,
                name="costs_bookfault_one_open",
            ),
            models.CheckConstraint(
                name="costs_bookfault_kind_known", condition=Q(kind__in=["DAILY", "TOTAL", "TAG", "BUDGET"])
            ),
            models.CheckConstraint(
                name="costs_bookfault_day_unless_budget", condition=Q(kind="BUDGET") ^ Q(day__isnull=False)
            ),
        ]
        indexes = [models.Index(fields=["organization", "id"], name="costs_bookfault_list")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.day or self.subject}"
