"""Moving a machine as the API takes it, and whose it was before."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from forge.api.fields import Text
from workspaces.models import AttributionChange


class MoveSerializer(serializers.Serializer):
    """Who is charged for the machine from the next hour on; what is not named stays, a `project` null is none."""

    example = {"team": "build", "project": "compiler", "reason": "It builds the compiler now."}

    team = Text(max_length=63, required=False)
    project = Text(max_length=63, required=False, allow_null=True)
    reason = Text(max_length=500, required=False, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.keys() & {"team", "project"}:
            raise serializers.ValidationError("Name a team or a project.")
        return attrs


class AttributionSerializer(serializers.ModelSerializer):
    """Whose the machine was, and which tags of people it had, until `until`."""

    until = serializers.DateTimeField(source="occurred_at", read_only=True)
    owner = serializers.EmailField(source="owner.email", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True)
    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True, default=None)
    tags = serializers.DictField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = AttributionChange
        fields = ["until", "recorded_at", "owner", "team", "project", "tags"]
        read_only_fields = fields
