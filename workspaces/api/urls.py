from forge.api.routers import OptionalSlashRouter
from workspaces.api.accounts import ProviderAccountViewSet
from workspaces.api.attestations import AttestationViewSet
from workspaces.api.findings import FindingViewSet
from workspaces.api.regions import RegionLatencyViewSet, RegionPolicyViewSet
from workspaces.api.rules import LifecyclePolicyViewSet
from workspaces.api.unmanaged import UnmanagedMachineViewSet
from workspaces.api.views import ApplicationStackViewSet, WorkSpaceViewSet

router = OptionalSlashRouter()
router.register("workspaces", WorkSpaceViewSet, basename="workspace")
router.register("attestations", AttestationViewSet, basename="attestation")
router.register("findings", FindingViewSet, basename="finding")
router.register("lifecycle-policies", LifecyclePolicyViewSet, basename="lifecycle-policy")
router.register("provider-accounts", ProviderAccountViewSet, basename="provider-account")
router.register("region-latencies", RegionLatencyViewSet, basename="region-latency")
router.register("region-policies", RegionPolicyViewSet, basename="region-policy")
router.register("applications", ApplicationStackViewSet, basename="application")
router.register("unmanaged-machines", UnmanagedMachineViewSet, basename="unmanaged-machine")

urlpatterns = router.urls
