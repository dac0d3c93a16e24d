"""What projects' cost centers were, from change to change."""

from __future__ import annotations

from django.db import models

from forge.accounts.models import Organization, Project


class CostCenterChange(models.Model):
    """Which cost center a project had until `occurred_at`.

    Append-only, and written by PostgreSQL itself whenever a project's row changes in it (migration 0014), so that an
    hour that is booked late bears the cost center that held when it began.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, db_index=False, related_name="+")
    occurred_at = models.DateTimeField(help_text="Until when it held.")
    cost_center = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["project", "occurred_at", "id"], name="costs_centered")]

    def __str__(self) -> str:
        return f"cost center of {self.project_id} until {self.occurred_at:%Y-%m-%d %H:%M}"
