"""Telling webhooks: deliveries written in the transaction of what they tell, with the body that is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from forge.db.ids import uuid7
from forge.outbox.models import Webhook, WebhookDelivery

TRIED_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` and target say what, `facts` are ids, figures and times, never names.

    `once` tells it from every other of its kind: of those that agree in it each webhook gets one.
    """

    organization_id: uuid.UUID
    kind: str
    target_type: str
    target_id: uuid.UUID
    once: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    team_id: uuid.UUID | None = None

    @property
    def dedupe_key(self) -> str:
        return f"{self.kind}:{self.once}"


def announce(events: Iterable[Event], *, now: datetime) -> None:
    """Write a delivery for each webhook that hears of it, in the caller's transaction.

    What is already written is left as it is.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("A delivery is written inside the transaction of what it tells.")
    told = {(event.organization_id, event.dedupe_key): event for event in events}
    webhooks = list(
        Webhook.objects.filter(organization_id__in={one for one, _ in told}, state=Webhook.State.ON).order_by("id")
    )
    rows = [
        delivery_of(webhook, event, event_id=event_id, now=now)
        for event_id, event in ((uuid7(), event) for event in told.values())
        for webhook in webhooks
        if webhook.organization_id == event.organization_id and webhook.hears(event.kind, event.team_id)
    ]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)


def delivery_of(webhook: Webhook, event: Event, *, event_id: uuid.UUID, now: datetime) -> WebhookDelivery:
    """The delivery, due now and not yet written."""
    return WebhookDelivery(
        organization_id=webhook.organization_id,
        webhook=webhook,
        event_id=event_id,
        kind=event.kind,
        body=body_of(event, event_id=event_id, now=now),
        dedupe_key=event.dedupe_key,
        due_at=now,
        tried_until=now + TRIED_FOR,
        created_at=now,
    )


def body_of(event: Event, *, event_id: uuid.UUID, now: datetime) -> str:
    """The JSON that is sent: type, id, occurred_at, organization, data."""
    document = {
        "type": event.kind,
        "id": str(event_id),
        "occurred_at": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "organization": str(event.organization_id),
        "data": {"about": {"type": event.target_type, "id": str(event.target_id)}, **event.facts},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
