from blueprints.api.views import BlueprintViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("blueprints", BlueprintViewSet, basename="blueprint")

urlpatterns = router.urls
