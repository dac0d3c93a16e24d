"""Forgetting what was delivered long ago: the log of deliveries is for mending receivers, not for history."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import transaction

from forge.outbox.models import WebhookAttempt, WebhookDelivery

KEPT_FOR = timedelta(days=30)
BATCH = 2000


def purge(*, now: datetime) -> dict[str, int]:
    """Delete the deliveries of more than KEPT_FOR ago that are not to be sent, with their tries: {deleted}."""
    deleted = 0
    while count := _purge_some(now - KEPT_FOR):
        deleted += count
    return {"deleted": deleted}


def _purge_some(before: datetime) -> int:
    """A batch in a transaction of its own; ids are UUIDv7, so the primary key finds them by age."""
    first = uuid.UUID(int=int(before.timestamp() * 1000) << 80)
    with transaction.atomic():
        old = WebhookDelivery.objects.filter(id__lt=first, due_at__isnull=True).order_by("id")
        ids = list(old.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH])
        WebhookAttempt.objects.filter(delivery_id__in=ids).delete()
        WebhookDelivery.objects.filter(id__in=ids).delete()
    return len(ids)
