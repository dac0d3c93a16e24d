from django.urls import re_path

from forge.accounts.api import views
from forge.api.routers import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("organizations", views.OrganizationViewSet, basename="organization")
router.register("teams", views.TeamViewSet, basename="team")
router.register("projects", views.ProjectViewSet, basename="project")
router.register("members", views.MemberViewSet, basename="member")
router.register("service-accounts", views.ServiceAccountViewSet, basename="service-account")
router.register("me/sessions", views.MySessionViewSet, basename="my-session")
router.register("tokens", views.TokenViewSet, basename="token")

urlpatterns = [re_path(r"^me/?$", views.MeView.as_view(), name="me"), *router.urls]
