from audit.api.views import AuditLogViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("audit", AuditLogViewSet, basename="audit")

urlpatterns = router.urls
