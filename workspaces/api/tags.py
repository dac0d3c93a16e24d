"""Tags of a machine as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from forge.api.fields import Text
from workspaces.models import WorkSpace
from workspaces.tagging.wanted import wanted_of


class RetagSerializer(serializers.Serializer):
    """The tags that the machine has from now on, in place of those that people gave it before."""

    example = {"tags": {"cost-center": "r-200"}}

    tags = serializers.DictField(child=Text(max_length=255, allow_blank=True))


class TagsSerializer(serializers.Serializer):
    """People's `own` tags, all that AWS is wanted to show, and what Forge last wrote or took over there."""

    own = serializers.DictField(child=serializers.CharField())
    wanted = serializers.DictField(
        child=serializers.CharField(), help_text="Empty of a machine of WorkSpaces Applications: AWS cannot tag it."
    )
    applied = serializers.DictField(
        child=serializers.CharField(), help_text="What Forge wrote to the machine in AWS, or took over with it."
    )
    applied_at = serializers.DateTimeField(allow_null=True, help_text="When AWS was first seen to show that.")
    is_applied = serializers.BooleanField(help_text="Whether AWS was seen to show what is wanted now.")


def tags_of(workspace: WorkSpace) -> dict[str, Any]:
    """The facts of TagsSerializer."""
    wanted = wanted_of(workspace) if workspace.capabilities.takes_tags else {}
    return {
        "own": workspace.tags,
        "wanted": wanted,
        "applied": workspace.applied_tags,
        "applied_at": workspace.tags_applied_at,
        "is_applied": workspace.tags_applied_at is not None and workspace.applied_tags == wanted,
    }
