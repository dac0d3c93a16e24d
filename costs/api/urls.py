from costs.api.advice import AdviceViewSet
from costs.api.bills import BilledMachineViewSet, BillGapViewSet, BillViewSet
from costs.api.centers import CostCenterViewSet
from costs.api.exports import CostExportViewSet
from costs.api.faults import BookFaultViewSet
from costs.api.showback import CostReportViewSet, IssuedReportViewSet, ReportSubscriptionViewSet
from costs.api.sums import CostViewSet
from costs.api.tags import TagKeyViewSet
from costs.api.views import BundleViewSet, CostRecordViewSet, CostRevisionViewSet, PriceViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("costs/records", CostRecordViewSet, basename="costrecord")
router.register("costs/revisions", CostRevisionViewSet, basename="costrevision")
router.register("costs/prices", PriceViewSet, basename="price")
router.register("costs/bills", BillViewSet, basename="bill")
router.register("costs/billed-machines", BilledMachineViewSet, basename="billed-machine")
router.register("costs/bill-gaps", BillGapViewSet, basename="bill-gap")
router.register("costs/tag-keys", TagKeyViewSet, basename="tag-key")
router.register("costs/book-faults", BookFaultViewSet, basename="book-fault")
router.register("costs/export", CostExportViewSet, basename="cost-export")
router.register("costs/reports", CostReportViewSet, basename="cost-report")
router.register("costs/issued-reports", IssuedReportViewSet, basename="issued-report")
router.register("costs/report-subscriptions", ReportSubscriptionViewSet, basename="report-subscription")
router.register("costs/advice", AdviceViewSet, basename="advice")
router.register("costs/cost-centers", CostCenterViewSet, basename="cost-center")
router.register("costs", CostViewSet, basename="cost")
router.register("bundles", BundleViewSet, basename="bundle")

urlpatterns = router.urls
