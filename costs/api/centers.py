"""`/api/v1/costs/cost-centers/{project}/`: which cost center a project has and had."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from costs.attribution import CostCenterChange
from forge.accounts.models import Project
from forge.api.views import ForgeViewSet

MOST = 1000


class FormerCenterSerializer(serializers.ModelSerializer):
    """The cost center that hours had that began until then."""

    until = serializers.DateTimeField(source="occurred_at", read_only=True)

    class Meta:
        model = CostCenterChange
        fields = ["until", "cost_center"]
        read_only_fields = fields


class CostCentersSerializer(serializers.Serializer):
    """The cost center of hours that begin now, and the former ones, oldest first; the newest thousand changes."""

    project = serializers.CharField(source="slug")
    cost_center = serializers.CharField(help_text="Empty = none: then the machine's tag cost-center counts.")
    former = FormerCenterSerializer(many=True)


class CostCenterViewSet(ForgeViewSet):
    """Cost centers of projects that the caller may see."""

    queryset = Project.objects.all()
    serializer_class = CostCentersSerializer
    audit_resource = "Project"

    @extend_schema(responses={200: CostCentersSerializer})
    def retrieve(self, request: Request, pk: str | None = None) -> Response:
        """By the id of the project; costs that were booked keep what held when their hour began."""
        project = self.get_object()
        changes = CostCenterChange.objects.filter(project=project).order_by("-occurred_at", "-id")[:MOST]
        former = list(reversed(changes))
        shown = {"slug": project.slug, "cost_center": project.cost_center, "former": former}
        return Response(CostCentersSerializer(shown).data)
