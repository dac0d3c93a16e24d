"""Webhooks and deliveries as the API shows and takes them."""

from __future__ import annotations

from rest_framework import serializers

from forge.api.fields import Id, Text
from forge.api.serializers import RowSerializer
from forge.outbox.models import Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks.services import KEEP_FORMER, MOST_KEEP

HOUR = 3600


class WebhookSerializer(RowSerializer):
    """An address to which what happens is delivered, and how its receiver does."""

    class Meta:
        model = Webhook
        fields = [
            "id",
            "name",
            "url",
            "kinds",
            "team_id",
            "owner_id",
            "state",
            "state_since",
            "failures",
            "failing_since",
            "rests_until",
            "former_secret_until",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class WebhookWithSecretSerializer(WebhookSerializer):
    """The same with the secret, which is shown this once."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields


def _kinds(**options: object) -> serializers.ListField:
    return serializers.ListField(
        child=Text(max_length=64), max_length=100, help_text="Of what is delivered; none = every kind.", **options
    )


class NewWebhookSerializer(serializers.Serializer):
    """The body that makes a webhook."""

    example = {"name": "chat", "url": "https://hooks.example.com/forge", "kinds": ["budget.mark"]}

    name = Text(max_length=100)
    url = Text(max_length=2000)
    kinds = _kinds(required=False, default=list)
    team_id = Id(
        required=False, allow_null=True, default=None, help_text="A team that you lead: it hears of this team alone."
    )


class WebhookChangeSerializer(serializers.Serializer):
    """What to change of a webhook; what is left out stays."""

    example = {"is_on": False}

    name = Text(max_length=100, required=False)
    url = Text(max_length=2000, required=False)
    kinds = _kinds(required=False)
    is_on = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if not attrs:
            raise serializers.ValidationError(f"Give at least one of: {', '.join(self.fields)}.")
        return attrs


class RotateSerializer(serializers.Serializer):
    """For how long the former secret signs too."""

    example = {"keep_hours": 24}

    keep_hours = serializers.IntegerField(
        min_value=0, max_value=int(MOST_KEEP.total_seconds()) // HOUR, default=int(KEEP_FORMER.total_seconds()) // HOUR
    )


class WebhookDeliverySerializer(RowSerializer):
    """One thing that happened, for one webhook, and what became of it."""

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "webhook",
            "event_id",
            "kind",
            "state",
            "attempts",
            "due_at",
            "tried_until",
            "delivered_at",
            "last_error",
            "created_at",
        ]
        read_only_fields = fields


class WebhookAttemptSerializer(serializers.ModelSerializer):
    """One try."""

    class Meta:
        model = WebhookAttempt
        fields = ["number", "began_at", "milliseconds", "status_code", "error", "excerpt"]
        read_only_fields = fields


class WebhookDeliveryDetailSerializer(WebhookDeliverySerializer):
    """The same with the body that is sent, and every try."""

    tries = WebhookAttemptSerializer(source="attempt_rows", many=True, read_only=True)

    class Meta(WebhookDeliverySerializer.Meta):
        fields = [*WebhookDeliverySerializer.Meta.fields, "body", "tries"]
        read_only_fields = fields
