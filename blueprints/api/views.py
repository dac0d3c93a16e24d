"""`/api/v1/blueprints/`: what can be launched, and its versions."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints import actions, services
from blueprints.api.serializers import (
    BlueprintSerializer,
    DraftSerializer,
    RevisionSerializer,
    VersionSerializer,
)
from blueprints.models import Blueprint
from forge.accounts.models import Team
from forge.accounts.services import organization_of
from forge.api.errors import Refused
from forge.api.etags import conditional
from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet


class UnknownTeam(Refused):
    code = "unknown_team"
    title = "There is no such team"


class BlueprintFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")
    latest = TrueOrFalseFilter(method="filter_latest", label="Only the newest published version of each family.")

    class Meta:
        model = Blueprint
        fields = {"name": ["exact"], "status": ["exact", "in"], "operating_system": ["exact"], "version": ["exact"]}

    def filter_latest(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        return queryset.newest() if value else queryset


class BlueprintViewSet(ReadViewSet):
    """Blueprints of the caller's teams and of the whole organization."""

    queryset = Blueprint.objects.select_related("team").prefetch_related("bundles")
    serializer_class = BlueprintSerializer
    filterset_class = BlueprintFilterSet
    ordering_fields = ("created_at", "name", "version")
    ordering = "-created_at"
    search_fields = ("name", "description")
    audit_resource = "Blueprint"
    audit_action = {
        "create": actions.BLUEPRINT_CREATE,
        "versions": actions.BLUEPRINT_CREATE,
        "partial_update": actions.BLUEPRINT_UPDATE,
        "publish": actions.BLUEPRINT_PUBLISH,
        "retire": actions.BLUEPRINT_RETIRE,
    }
    has_etag = True

    @extend_schema(request=DraftSerializer, responses={201: BlueprintSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Draft a blueprint; a name that the team has already becomes its next version."""
        organization = organization_of(request.user)
        wanted = self.validated(DraftSerializer)
        blueprint = services.draft(
            actor=self.actor,
            organization=organization,
            team=self._team(wanted.pop("team")),
            bundles=_offers(wanted.pop("bundles", [])),
            **wanted,
        )
        return self._made(blueprint)

    @extend_schema(request=RevisionSerializer, responses={200: BlueprintSerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change a draft."""
        wanted = self.validated(RevisionSerializer)
        offers = wanted.pop("bundles", None)
        blueprint = services.revise(
            actor=self.actor,
            blueprint=self.get_object(),
            bundles=None if offers is None else _offers(offers),
            **wanted,
        )
        changed = self.get_queryset().get(pk=blueprint.pk)
        return self.shown(changed, self.body_of(changed))

    @extend_schema(request=VersionSerializer, responses={201: BlueprintSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    @conditional
    def versions(self, request: Request, pk: str | None = None) -> Response:
        """Draft the next version of this blueprint's family."""
        wanted = self.validated(VersionSerializer)
        parent = self.get_object()
        offers = wanted.pop("bundles", None)
        kept = {"description": parent.description, "software_manifest": parent.software_manifest}
        blueprint = services.draft(
            actor=self.actor,
            organization=parent.organization,
            team=parent.team,
            name=parent.name,
            operating_system=parent.operating_system,
            bundles=_offers(offers) if offers is not None else services.offers_of(parent),
            parent=parent,
            **{**kept, "configuration": parent.configuration, **wanted},
        )
        return self._made(blueprint)

    @extend_schema(request=None, responses={200: BlueprintSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    @conditional
    def publish(self, request: Request, pk: str | None = None) -> Response:
        """Make a draft launchable; its content never changes again."""
        blueprint = services.publish(actor=self.actor, blueprint=self.get_object(), now=timezone.now())
        return self.shown(blueprint, self.body_of(blueprint))

    @extend_schema(request=None, responses={200: BlueprintSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    @conditional
    def retire(self, request: Request, pk: str | None = None) -> Response:
        """End launches from a published version; machines made from it go on."""
        blueprint = services.retire(actor=self.actor, blueprint=self.get_object(), now=timezone.now())
        return self.shown(blueprint, self.body_of(blueprint))

    def _made(self, blueprint: Blueprint) -> Response:
        return self.created(blueprint, self.body_of(blueprint), address=f"/api/v1/blueprints/{blueprint.pk}/")

    def _team(self, slug: str | None) -> Team | None:
        if slug is None:
            return None
        team = Team.objects.visible_to(self.request.user).filter(slug=slug).first()
        if team is None:
            raise UnknownTeam(f"You see no team {slug!r}.")
        return team


def _offers(rows: list[dict[str, Any]]) -> list[services.BundleOffer]:
    return [services.BundleOffer(**row) for row in rows]
