"""What people have chosen to hear of."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forge.db.models import TimestampedModel, UUIDModel


class NotificationPreference(UUIDModel, TimestampedModel):
    """Whether somebody hears of one kind by one channel; without a row it is told."""

    class Channel(models.TextChoices):
        MAIL = "MAIL", "Mail"

    organization_id = models.UUIDField(null=True, blank=True, help_text="Empty = of an operator of the installation.")
    user_id = models.UUIDField()
    kind = models.CharField(max_length=64)
    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.MAIL)
    is_on = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "kind", "channel"], name="outbox_notificationpreference_one_per_kind"
            ),
            models.CheckConstraint(condition=Q(channel="MAIL"), name="outbox_notificationpreference_channel_known"),
            models.CheckConstraint(condition=~Q(kind=""), name="outbox_notificationpreference_kind_named"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.get_channel_display().lower()}: {'on' if self.is_on else 'off'}"
