from budgets.api.raises import BudgetRaiseViewSet
from budgets.api.views import BudgetViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("budgets", BudgetViewSet, basename="budget")
router.register("budget-raises", BudgetRaiseViewSet, basename="budget-raise")

urlpatterns = router.urls
