"""`/api/v1/` webhooks, webhook-deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.errors import Denied
from forge.api.etags import conditional
from forge.api.idempotency import idempotent, refuse_key
from forge.api.views import ReadViewSet
from forge.outbox import actions
from forge.outbox.api import serializers
from forge.outbox.api.filters import WebhookDeliveryFilterSet, WebhookFilterSet
from forge.outbox.models import Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks import permissions, services


class NoOrganizationOfWebhook(Denied):
    code = "no_organization"
    title = "Operators of the installation belong to no organization, so they change nothing in one"
    suggested_action = "Act as somebody of the organization."


class WebhookViewSet(ReadViewSet):
    """Webhooks that the caller may see: where what happens is delivered, signed."""

    queryset = Webhook.objects.standing()
    serializer_class = serializers.WebhookSerializer
    filterset_class = WebhookFilterSet
    ordering_fields = ("created_at", "name")
    ordering = "created_at"
    search_fields = ("name",)
    audit_resource = "Webhook"
    audit_action = {
        "create": actions.WEBHOOK_CREATE,
        "partial_update": actions.WEBHOOK_UPDATE,
        "destroy": actions.WEBHOOK_REMOVE,
        "rotate": actions.WEBHOOK_ROTATE,
        "ping": actions.WEBHOOK_PING,
    }
    has_etag = True

    @extend_schema(request=serializers.NewWebhookSerializer, responses={201: serializers.WebhookWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Make one; its secret is shown this once, so an Idempotency-Key is refused."""
        refuse_key(request)
        wanted = self.validated(serializers.NewWebhookSerializer)
        permissions.require_some(self.actor)
        user: Any = request.user
        if user.is_operator:
            raise NoOrganizationOfWebhook("You run the installation; this belongs to the people of an organization.")
        webhook, secret = services.create(
            actor=self.actor, organization_id=user.organization_id, now=timezone.now(), **wanted
        )
        return self.created(webhook, self._with(webhook, secret), address=f"/api/v1/webhooks/{webhook.pk}/")

    @extend_schema(request=serializers.WebhookChangeSerializer, responses={200: serializers.WebhookSerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change it, or switch it off and on; switched on, its failures are forgotten."""
        webhook = self.get_object()
        wanted = self.validated(serializers.WebhookChangeSerializer)
        changed = services.change(actor=self.actor, webhook_id=webhook.pk, wanted=wanted, now=timezone.now())
        return self.shown(changed, self.body_of(changed))

    @conditional
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Take it away, with its address and its secrets."""
        services.remove(actor=self.actor, webhook_id=self.get_object().pk, now=timezone.now())
        return Response(status=204)

    @extend_schema(request=serializers.RotateSerializer, responses={200: serializers.WebhookWithSecretSerializer})
    @action(detail=True, methods=["post"])
    @conditional
    def rotate(self, request: Request, pk: str | None = None) -> Response:
        """Give it a new secret, shown this once; the former one signs too for `keep_hours`."""
        refuse_key(request)
        webhook = self.get_object()
        wanted = self.validated(serializers.RotateSerializer)
        keep = timedelta(hours=wanted["keep_hours"])
        webhook, secret = services.rotate(actor=self.actor, webhook_id=webhook.pk, keep_former=keep, now=timezone.now())
        return Response(self._with(webhook, secret))

    @extend_schema(request=None, responses={202: serializers.WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    @conditional
    def ping(self, request: Request, pk: str | None = None) -> Response:
        """Have a test message delivered; what came of it stands under the address in Location."""
        delivery = services.ping(actor=self.actor, webhook_id=self.get_object().pk, now=timezone.now())
        return _under_way(delivery)

    def _with(self, webhook: Webhook, secret: str) -> dict[str, Any]:
        return {**self.body_of(webhook), "secret": secret}


class WebhookDeliveryViewSet(ReadViewSet):
    """What was delivered to the webhooks that the caller may see, for thirty days."""

    queryset = WebhookDelivery.objects.all()
    serializer_class = serializers.WebhookDeliverySerializer
    filterset_class = WebhookDeliveryFilterSet
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "WebhookDelivery"
    audit_action = {"redeliver": actions.WEBHOOK_REDELIVER}

    def get_queryset(self) -> QuerySet:
        deliveries = super().get_queryset()
        if self.action != "retrieve":
            return deliveries
        return deliveries.prefetch_related(Prefetch("attempt_rows", WebhookAttempt.objects.order_by("number")))

    def get_serializer_class(self) -> Any:
        shows_all = self.action == "retrieve"
        return serializers.WebhookDeliveryDetailSerializer if shows_all else super().get_serializer_class()

    @extend_schema(request=None, responses={202: serializers.WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def redeliver(self, request: Request, pk: str | None = None) -> Response:
        """Have it sent again, under the same webhook-id, whatever became of it."""
        return _under_way(services.redeliver(actor=self.actor, delivery_id=self.get_object().pk, now=timezone.now()))


def _under_way(delivery: WebhookDelivery) -> Response:
    body = serializers.WebhookDeliverySerializer(delivery).data
    return Response(body, status=202, headers={"Location": f"/api/v1/webhook-deliveries/{delivery.pk}/"})
