"""What lists of machines can be asked for."""

from __future__ import annotations

from django_filters import rest_framework as filters

from forge.api.filters import ForgeFilterSet
from workspaces.models import WorkSpace


class WorkSpaceFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")
    project = filters.CharFilter(field_name="project__slug", label="Slug of the project.")
    owner = filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="Email of the owner.")

    class Meta:
        model = WorkSpace
        fields = {
            "state": ["exact", "in"],
            "bundle_type": ["exact", "in"],
            "operating_system": ["exact"],
            "running_mode": ["exact"],
            "region": ["exact", "in"],
            "blueprint": ["exact"],
            "keep_alive": ["exact"],
            "created_at": ["gte", "gt", "lte", "lt"],
        }
