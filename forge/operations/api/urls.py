from forge.api.routers import OptionalSlashRouter
from forge.operations.api.views import OperationViewSet

router = OptionalSlashRouter()
router.register("operations", OperationViewSet, basename="operation")

urlpatterns = router.urls
