"""Webhooks of an organization, and what is delivered to them."""

from __future__ import annotations

from django.db import transaction
from standardwebhooks.webhooks import Webhook as Verifier

from forge.db.ids import uuid7
from forge.outbox.models import Webhook, WebhookDelivery
from forge.outbox.webhooks import keeping, signing
from forge.outbox.webhooks.announcing import Event, announce
from tests.forge.outbox.support import KIND, NOW, ORGANIZATION

SECRET = b"s" * 32


def webhook(**facts) -> Webhook:
    """One that hears everything, at an address that nobody calls unless a test says so."""
    wanted = {
        "organization_id": ORGANIZATION,
        "name": "hook",
        "url": "https://hooks.example.com/in",
        "owner_id": uuid7(),
        "secret": keeping.close(SECRET),
    }
    return Webhook.objects.create(**{**wanted, **facts})


def event(**facts) -> Event:
    wanted = {
        "organization_id": ORGANIZATION,
        "kind": KIND,
        "target_type": "Thing",
        "target_id": uuid7(),
        "once": str(uuid7()),
        "facts": {"n": "1.50"},
    }
    return Event(**{**wanted, **facts})


def tell(*events: Event) -> list[WebhookDelivery]:
    """Announce them, or one, at NOW; the deliveries in the order in which they are sent."""
    with transaction.atomic():
        announce(events or (event(),), now=NOW)
    return list(WebhookDelivery.objects.order_by("due_at", "id"))


def verified(taken, secret=SECRET):
    """The document that the receiver took, after the reference implementation has verified it."""
    return Verifier(signing.text_of(secret)).verify(taken.body, taken.headers)
