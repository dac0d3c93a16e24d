"""Whose machines were, and which tags they had, from change to change."""

from __future__ import annotations

from django.db import models

from forge.accounts.models import Organization, Project, Team, User
from workspaces.models.machines import WorkSpace


class AttributionChange(models.Model):
    """Whose a machine was, and how it was tagged, until `occurred_at`.

    Append-only, and written by PostgreSQL itself whenever the machine's row changes in one of these (migration 0018),
    so metering misses none: a cost record bears what held when its hour began, however late it is booked.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    workspace = models.ForeignKey(
        WorkSpace, on_delete=models.PROTECT, db_index=False, related_name="attribution_changes"
    )
    occurred_at = models.DateTimeField(help_text="Business time: until when it held.")
    recorded_at = models.DateTimeField(auto_now_add=True)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, db_index=False, null=True, related_name="+")
    tags = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["workspace", "occurred_at", "id"], name="workspaces_attributed")]

    def __str__(self) -> str:
        return f"attribution of {self.workspace_id} until {self.occurred_at:%Y-%m-%d %H:%M}"
