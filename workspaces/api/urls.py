from forge.api.routers import OptionalSlashRouter
from workspaces.api.views import WorkSpaceViewSet

router = OptionalSlashRouter()
router.register("workspaces", WorkSpaceViewSet, basename="workspace")

urlpatterns = router.urls
