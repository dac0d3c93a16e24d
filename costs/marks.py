"""How far each machine is metered."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forge.accounts.models import Organization
from forge.db.models import TimestampedModel
from workspaces.models import WorkSpace


class MeterMark(TimestampedModel):
    """How far one machine is metered; made and woken by a trigger on the machine's row, moved by metering alone.

    `next_due_at` is the instant after which there is something to book again, NULL when only a change of state can
    bring something. `dirty_from` is the business time of the earliest change that metering has not seen: from there
    the hours are reckoned anew from the machine's history, else onwards from `running_since` and `paid_until`.
    """

    workspace = models.OneToOneField(WorkSpace, on_delete=models.PROTECT, primary_key=True, related_name="+")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    next_due_at = models.DateTimeField(null=True, blank=True)
    dirty_from = models.DateTimeField(null=True, blank=True)
    metered_through = models.DateTimeField(null=True, blank=True)
    running_since = models.DateTimeField(null=True, blank=True, help_text="Start of the interval that runs now.")
    paid_until = models.DateTimeField(null=True, blank=True, help_text="End of the last started hour.")

    class Meta:
        indexes = [
            models.Index(
                fields=["next_due_at", "workspace"],
                condition=Q(next_due_at__isnull=False),
                name="costs_metermark_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} through {self.metered_through}"
