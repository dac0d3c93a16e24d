from budgets.api.views import BudgetViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("budgets", BudgetViewSet, basename="budget")

urlpatterns = router.urls
