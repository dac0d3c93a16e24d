"""`/api/v1/region-latencies/` and `/api/v1/region-policies/`: what the choice of a region follows."""

from __future__ import annotations

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forge.accounts.models import Team
from forge.accounts.services import organization_of
from forge.api.etags import conditional
from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from workspaces import actions
from workspaces.models import RegionLatency, RegionPolicy
from workspaces.regions import setting
from workspaces.regions.models import MOST_MILLISECONDS


class LatencyFigureSerializer(serializers.Serializer):
    """A measured round trip, and who measured it; null = as estimated from the distance."""

    example = {"milliseconds": 24, "source": "ping of 2027-01-08"}

    milliseconds = serializers.IntegerField(min_value=1, max_value=MOST_MILLISECONDS, allow_null=True)
    source = Text(max_length=200)


class NewLatencySerializer(LatencyFigureSerializer):
    """The same for a place and a region that have none yet."""

    example = {"place": "Lisbon", "region": "eu-west-1", "milliseconds": 24, "source": "ping of 2027-01-08"}

    place = Text(max_length=64)
    region = Text(max_length=32)


class RegionLatencySerializer(serializers.ModelSerializer):
    """A latency as it was set."""

    class Meta:
        model = RegionLatency
        fields = ["id", "place", "region", "milliseconds", "source", "created_at", "updated_at"]
        read_only_fields = fields


class RegionLatencyFilterSet(ForgeFilterSet):
    class Meta:
        model = RegionLatency
        fields = {"place": ["exact"], "region": ["exact", "in"]}


class RegionLatencyViewSet(ReadViewSet):
    """Measured latencies between places and regions; what is not here is estimated from the distance."""

    queryset = RegionLatency.objects.all()
    serializer_class = RegionLatencySerializer
    filterset_class = RegionLatencyFilterSet
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "RegionLatency"
    audit_action = {"create": actions.REGION_LATENCY_CREATE, "partial_update": actions.REGION_LATENCY_UPDATE}
    has_etag = True

    @extend_schema(request=NewLatencySerializer, responses={201: RegionLatencySerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Set the latency of a place and a region that have none."""
        organization = organization_of(request.user)
        made = setting.create_latency(
            actor=self.actor, organization=organization, now=timezone.now(), **self.validated(NewLatencySerializer)
        )
        return self.created(made, self.body_of(made), address=f"/api/v1/region-latencies/{made.id}/")

    @extend_schema(request=LatencyFigureSerializer, responses={200: RegionLatencySerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the figure and its source; null takes the estimate again."""
        latency = self.get_object()
        changed = setting.change_latency(
            actor=self.actor, latency_id=latency.id, now=timezone.now(), **self.validated(LatencyFigureSerializer)
        )
        return self.shown(changed, self.body_of(changed))


class RegionsSerializer(serializers.Serializer):
    """The regions that a team may use; none = all."""

    example = {"regions": ["eu-west-1", "eu-central-1"]}

    regions = serializers.ListField(child=Text(max_length=32), max_length=setting.MOST_REGIONS)


class NewRegionPolicySerializer(RegionsSerializer):
    """The same for a team that has no policy yet, by its slug."""

    example = {"team": "platform", "regions": ["eu-west-1"]}

    team = Text(max_length=63)


class RegionPolicySerializer(serializers.ModelSerializer):
    """In which regions a team may launch."""

    team = serializers.CharField(source="team.slug", read_only=True)

    class Meta:
        model = RegionPolicy
        fields = ["id", "team", "regions", "created_at", "updated_at"]
        read_only_fields = fields


class RegionPolicyFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")

    class Meta:
        model = RegionPolicy
        fields: list[str] = []


class RegionPolicyViewSet(ReadViewSet):
    """The regions in which the teams of the organization may launch; a team that is not here may in all."""

    queryset = RegionPolicy.objects.select_related("team")
    serializer_class = RegionPolicySerializer
    filterset_class = RegionPolicyFilterSet
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "RegionPolicy"
    audit_action = {"create": actions.REGION_POLICY_CREATE, "partial_update": actions.REGION_POLICY_UPDATE}
    has_etag = True

    @extend_schema(request=NewRegionPolicySerializer, responses={201: RegionPolicySerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Set the regions of a team that has no policy."""
        organization = organization_of(request.user)
        wanted = self.validated(NewRegionPolicySerializer)
        team = Team.objects.filter(organization=organization, slug=wanted["team"]).first()
        if team is None:
            raise setting.NotTheTeam(f"Your organization has no team {wanted['team']!r}.")
        made = setting.create_region_policy(
            actor=self.actor, organization=organization, team=team, regions=wanted["regions"], now=timezone.now()
        )
        return self.created(made, self.body_of(made), address=f"/api/v1/region-policies/{made.id}/")

    @extend_schema(request=RegionsSerializer, responses={200: RegionPolicySerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the regions of a team."""
        policy = self.get_object()
        changed = setting.change_region_policy(
            actor=self.actor, policy_id=policy.id, now=timezone.now(), **self.validated(RegionsSerializer)
        )
        return self.shown(changed, self.body_of(changed))
