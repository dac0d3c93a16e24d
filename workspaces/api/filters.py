"""What lists of machines can be asked for."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters

from forge.api.filters import REGION, ForgeFilterSet, TrueOrFalseFilter, WordFilter
from workspaces.models import ApplicationStack, WorkSpace, kept_alive


class WorkSpaceFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")
    project = filters.CharFilter(field_name="project__slug", label="Slug of the project.")
    owner = filters.CharFilter(field_name="owner__email", lookup_expr="iexact", label="Email of the owner.")

    keep_alive = TrueOrFalseFilter(method="filter_keep_alive", label="Protected from automatic ends now.")

    class Meta:
        model = WorkSpace
        fields = {
            "service_type": ["exact"],
            "state": ["exact", "in"],
            "bundle_type": ["exact", "in"],
            "operating_system": ["exact"],
            "running_mode": ["exact"],
            "region": ["exact", "in"],
            "blueprint": ["exact"],
            "created_at": ["gte", "gt", "lte", "lt"],
        }

    def filter_keep_alive(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        kept = kept_alive(timezone.now())
        return queryset.filter(kept) if value else queryset.exclude(kept)


class ApplicationStackFilterSet(ForgeFilterSet):
    region = WordFilter(field_name="provider_account__region", label="AWS region.", **REGION)
    application = filters.CharFilter(method="filter_application", label="Offers this application.")

    class Meta:
        model = ApplicationStack
        fields = {"bundle_type": ["exact", "in"], "operating_system": ["exact"]}

    def filter_application(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return queryset.filter(application_ids__contains=[value])
