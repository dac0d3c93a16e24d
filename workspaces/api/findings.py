"""`/api/v1/findings/`: what is not as safe as it should be."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.api.views import ReadViewSet
from workspaces.models import Finding, WorkSpace


class FindingSerializer(serializers.ModelSerializer):
    """One finding; `subject` is AWS's id of machine or directory, the name of the stack, or what may not be asked."""

    check = serializers.ChoiceField(Finding.Check.choices, source="check_name", read_only=True)
    title = serializers.CharField(source="get_check_name_display", read_only=True)
    provider_account = serializers.UUIDField(source="provider_account_id", read_only=True)
    basis = serializers.SerializerMethodField(help_text="CHECKED: AWS shows it. ATTESTED: it rests on people's word.")
    workspace = serializers.UUIDField(source="workspace_id", read_only=True, allow_null=True)

    class Meta:
        model = Finding
        fields = [
            "id",
            "check",
            "title",
            "severity",
            "basis",
            "subject",
            "workspace",
            "provider_account",
            "detail",
            "found_at",
            "resolved_at",
        ]
        read_only_fields = fields

    def get_basis(self, finding: Finding) -> str:
        return "ATTESTED" if finding.is_attested else "CHECKED"


class FindingFilterSet(ForgeFilterSet):
    check = filters.ChoiceFilter(field_name="check_name", choices=Finding.Check.choices)
    open = TrueOrFalseFilter(field_name="resolved_at", lookup_expr="isnull")
    workspace = filters.UUIDFilter(
        method="filter_workspace", label="Those of this machine, and of the directory or stack in which it stands."
    )

    class Meta:
        model = Finding
        fields = {"severity": ["exact"], "provider_account": ["exact"], "subject": ["exact"]}

    def filter_workspace(self, queryset: QuerySet, name: str, value: uuid.UUID) -> QuerySet:
        return queryset.of_machines(WorkSpace.objects.visible_to(self.request.user).filter(pk=value))


class FindingViewSet(ReadViewSet):
    """Findings of the organization: all for admins and auditors, of the team's machines for leads, else of the own.

    Those of the directory or stack in which such a machine stands are among them.
    """

    queryset = Finding.objects.all()
    serializer_class = FindingSerializer
    filterset_class = FindingFilterSet
    ordering_fields = ("found_at",)
    ordering = "-found_at"
    audit_resource = "Finding"
