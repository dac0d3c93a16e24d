from audit.api.exports import AuditExportViewSet
from audit.api.holds import LegalHoldViewSet
from audit.api.proofs import AuditCheckpointViewSet, AuditProofViewSet
from audit.api.verifications import AuditVerificationViewSet
from audit.api.views import AuditLogViewSet
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("audit/proofs", AuditProofViewSet, basename="audit-proof")
router.register("audit/checkpoints", AuditCheckpointViewSet, basename="audit-checkpoint")
router.register("audit/holds", LegalHoldViewSet, basename="audit-hold")
router.register("audit/exports", AuditExportViewSet, basename="audit-export")
router.register("audit/verify", AuditVerificationViewSet, basename="audit-verification")
router.register("audit", AuditLogViewSet, basename="audit")

urlpatterns = router.urls
