from forge.api.routers import OptionalSlashRouter
from workspaces.api.views import ApplicationStackViewSet, WorkSpaceViewSet

router = OptionalSlashRouter()
router.register("workspaces", WorkSpaceViewSet, basename="workspace")
router.register("applications", ApplicationStackViewSet, basename="application")

urlpatterns = router.urls
