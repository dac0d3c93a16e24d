from forge.api.routers import OptionalSlashRouter
from forge.outbox.api.views import WebhookDeliveryViewSet, WebhookViewSet

router = OptionalSlashRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register("webhook-deliveries", WebhookDeliveryViewSet, basename="webhook-delivery")

urlpatterns = router.urls
