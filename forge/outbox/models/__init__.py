"""What leaves the house: mail, and webhooks with their deliveries."""

from forge.outbox.models.mails import Mail, MailQuerySet
from forge.outbox.models.preferences import NotificationPreference
from forge.outbox.models.webhooks import (
    Webhook,
    WebhookAttempt,
    WebhookDelivery,
    WebhookDeliveryQuerySet,
    WebhookQuerySet,
)

__all__ = [
    "Mail",
    "MailQuerySet",
    "NotificationPreference",
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookDeliveryQuerySet",
    "WebhookQuerySet",
]
