"""The small API of tests/forge/api/support.py."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView

from forge.api.routers import OptionalSlashRouter
from tests.forge.api import support

router = OptionalSlashRouter()
router.register("runs", support.RunViewSet, basename="run")
router.register("switches", support.SwitchViewSet, basename="switch")
router.register("aging", support.AgingViewSet, basename="aging")
router.register("crash", support.CrashingViewSet, basename="crash")


@csrf_exempt
def plain(request: HttpRequest) -> HttpResponse:
    raise support.ERRORS[request.GET["error"]]


def guarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


handler400 = "forge.api.handlers.bad_request"
handler403 = "forge.api.handlers.permission_denied"
handler404 = "forge.api.handlers.not_found"
handler500 = "forge.api.handlers.server_error"

urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("api/v1/plain/", plain),
    path("api/v1/guarded/", guarded),
    re_path(r"^api/v1/schema/?$", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("page/", plain),
]
