from forge.api.routers import OptionalSlashRouter
from workspaces.api.rules import LifecyclePolicyViewSet
from workspaces.api.views import WorkSpaceViewSet

router = OptionalSlashRouter()
router.register("workspaces", WorkSpaceViewSet, basename="workspace")
router.register("lifecycle-policies", LifecyclePolicyViewSet, basename="lifecycle-policy")

urlpatterns = router.urls
