"""The test message of a webhook."""

from __future__ import annotations

from datetime import datetime

from forge.db.ids import uuid7
from forge.outbox.models import Webhook, WebhookDelivery
from forge.outbox.webhooks.announcing import Event, delivery_of

PING = "webhook.ping"


def ping_of(webhook: Webhook, *, now: datetime) -> WebhookDelivery:
    """A delivery that says nothing but that it arrives; not yet written."""
    key = uuid7()
    event = Event(
        organization_id=webhook.organization_id,
        kind=PING,
        target_type="Webhook",
        target_id=webhook.id,
        once=str(key),
    )
    return delivery_of(webhook, event, event_id=key, now=now)
