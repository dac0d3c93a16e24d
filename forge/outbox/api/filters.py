"""What lists of webhooks and of their deliveries can be asked for."""

from forge.api.filters import ForgeFilterSet
from forge.outbox.models import Webhook, WebhookDelivery


class WebhookFilterSet(ForgeFilterSet):
    class Meta:
        model = Webhook
        fields = {"state": ["exact", "in"], "team_id": ["exact"]}


class WebhookDeliveryFilterSet(ForgeFilterSet):
    class Meta:
        model = WebhookDelivery
        fields = {
            "webhook": ["exact"],
            "event_id": ["exact"],
            "kind": ["exact", "in"],
            "state": ["exact", "in"],
            "created_at": ["gte", "gt", "lte", "lt"],
        }
