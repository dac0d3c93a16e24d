from costs.api.views import BundleViewSet, CostRecordViewSet, CostRevisionViewSet, CostViewSet, PriceViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("costs/records", CostRecordViewSet, basename="costrecord")
router.register("costs/revisions", CostRevisionViewSet, basename="costrevision")
router.register("costs/prices", PriceViewSet, basename="price")
router.register("costs", CostViewSet, basename="cost")
router.register("bundles", BundleViewSet, basename="bundle")

urlpatterns = router.urls
