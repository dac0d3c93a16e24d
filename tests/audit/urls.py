"""A small API whose views remember or forget their audit entries, for the middleware's tests."""

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import include, path
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit import actions
from audit.services import record
from forge.accounts.models import Team
from forge.api.errors import Conflict, Denied, Refused, TooMany
from forge.api.idempotency import idempotent
from forge.api.routers import OptionalSlashRouter
from forge.api.views import ForgeViewSet, ReadViewSet

handler400 = "forge.api.handlers.bad_request"
handler403 = "forge.api.handlers.permission_denied"
handler404 = "forge.api.handlers.not_found"
handler500 = "forge.api.handlers.server_error"


class NoRoom(Refused):
    code = "no_room"
    title = "There is no room"


class TeamSerializer(serializers.ModelSerializer):
    class Meta:
        model = Team
        fields = ("id", "slug")


class Body(serializers.Serializer):
    slug = serializers.SlugField()
    fail = serializers.CharField(required=False)


ERRORS = {
    "denied": Denied("No."),
    "refused": NoRoom("No room.", extra={"limit": 3}),
    "conflict": Conflict("Not now."),
    "too_many": TooMany("Slow down."),
    "crash": ZeroDivisionError("boom"),
}


class TeamViewSet(ReadViewSet):
    """Teams made and changed without a service: `create` records its entry, the others forget theirs."""

    queryset = Team.objects.all()
    serializer_class = TeamSerializer
    dry_run_actions = ("create",)
    audit_action = {"create": "TEAM_CREATE", "destroy": "TEAM_CREATE"}
    audit_resource = "Team"
    audit_as_read = False

    def get_queryset(self):
        return super(ReadViewSet, self).get_queryset().filter(organization_id=self.request.user.organization_id)

    @idempotent
    def create(self, request: Request) -> Response:
        body = self.validated(Body)
        if self.dry_run:
            return Response({"would": "create"})
        with transaction.atomic():
            team = Team.objects.create(organization=request.user.organization, slug=body["slug"], name=body["slug"])
            record(
                actor=self.actor,
                action="TEAM_CREATE",
                resource_type="Team",
                resource_id=str(team.id),
                description=f"Created team {team.id}",
            )
            if "fail" in body:
                raise ERRORS[body["fail"]]
        return self.created(team, self.body_of(team), address=f"/api/v1/teams/{team.id}/")

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        self.get_object()
        return Response(status=204)

    @action(detail=False, methods=["post"], audit_as_read=True)
    def quote(self, request: Request) -> Response:
        body = self.validated(Body)
        if "fail" in body:
            raise ERRORS[body["fail"]]
        return Response({"cost": "1.00"})

    @action(detail=False, methods=["post"])
    def twice(self, request: Request) -> Response:
        """Leaves an entry of a consequence in a transaction of its own and is then refused."""
        with transaction.atomic():
            record(actor=self.actor, action=actions.OTHER, description="Adopted something")
        raise NoRoom("No room.")

    @action(detail=False, methods=["post"])
    def forget(self, request: Request) -> Response:
        return Response({"done": True})


class OpenViewSet(ForgeViewSet):
    authentication_classes = ()
    permission_classes = ()

    def create(self, request: Request) -> Response:
        return Response({"hello": "anybody"})


def form(request: HttpRequest) -> HttpResponse:
    return redirect("/admin/") if request.POST.get("valid") else TemplateResponse(request, "admin/404.html")


router = OptionalSlashRouter()
router.register("teams", TeamViewSet, basename="team")
router.register("open", OpenViewSet, basename="open")

urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("api/v1/", include("audit.api.urls")),
    path("admin/forms/", form, name="form"),
    path("admin/", admin.site.urls),
]
