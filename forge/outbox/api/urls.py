from django.urls import re_path

from forge.api.routers import OptionalSlashRouter
from forge.outbox.api.notifications import MyNotificationsViewSet
from forge.outbox.api.views import WebhookDeliveryViewSet, WebhookViewSet

router = OptionalSlashRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register("webhook-deliveries", WebhookDeliveryViewSet, basename="webhook-delivery")

choices = MyNotificationsViewSet.as_view({"get": "retrieve", "patch": "partial_update"}, detail=True)

urlpatterns = [re_path(r"^me/notifications/?$", choices, name="me-notifications"), *router.urls]
