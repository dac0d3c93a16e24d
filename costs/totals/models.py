"""Daily sums of the whole organization without its people: what a dashboard of all costs reads."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from blueprints.models import Blueprint, BundleType
from costs.bills.models import OfOrganization
from forge.accounts.models import Organization, Project, Team
from workspaces.models import WorkSpace


def _unconstrained(to: type[models.Model], **options: Any) -> models.ForeignKey:
    """As in costs.models: the keys are copied from rows whose keys are checked."""
    return models.ForeignKey(
        to, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+", **options
    )


class DailyTotal(models.Model):
    """The sum of the daily costs (DailyCost) that agree in everything but the person.

    Kept by a trigger of the daily costs, which only adds rows with differences (migration 0011); they are folded into
    the one row of the sum soon. So a figure is always the sum over all rows of its group, whatever is folded.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    organization = _unconstrained(Organization)
    team = _unconstrained(Team)
    project = _unconstrained(Project, null=True, blank=True)
    blueprint = _unconstrained(Blueprint, null=True, blank=True)
    cost_center = models.CharField(max_length=100, blank=True, default="")
    bundle_type = models.CharField(max_length=20, choices=BundleType.choices)
    region = models.CharField(max_length=32)
    running_mode = models.CharField(max_length=10, choices=WorkSpace.RunningMode.choices)
    basis = models.CharField(max_length=10)
    is_folded = models.BooleanField(help_text="The sum itself; else differences that are still to be added to it.")
    rows = models.BigIntegerField(help_text="Daily costs in it.")
    billed_hours = models.DecimalField(max_digits=20, decimal_places=6)
    compute_cost = models.DecimalField(max_digits=20, decimal_places=6)
    storage_cost = models.DecimalField(max_digits=20, decimal_places=6)
    data_transfer_cost = models.DecimalField(max_digits=20, decimal_places=6)
    total_cost = models.DecimalField(max_digits=20, decimal_places=6)

    objects = OfOrganization.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization",
                    "day",
                    "team",
                    "project",
                    "blueprint",
                    "cost_center",
                    "bundle_type",
                    "region",
                    "running_mode",
                    "basis",
                ],
                condition=Q(is_folded=True),
                nulls_distinct=False,
                name="costs_dailytotal_one_per_group",
            ),
            models.CheckConstraint(
                name="costs_dailytotal_total_is_the_sum",
                condition=Q(total_cost=F("compute_cost") + F("storage_cost") + F("data_transfer_cost")),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "day"], name="costs_dailytotal_by_day"),
            models.Index(fields=["id"], condition=Q(is_folded=False), name="costs_dailytotal_unfolded"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.bundle_type} {self.total_cost}"
