"""Blueprints as the API shows and takes them."""

from __future__ import annotations

from rest_framework import serializers

from blueprints.models import Blueprint, BlueprintBundle, BundleType, OperatingSystem
from forge.api.fields import Text


class BundleSerializer(serializers.ModelSerializer):
    """One AWS bundle on offer."""

    class Meta:
        model = BlueprintBundle
        fields = ["region", "bundle_type", "bundle_id", "image_id"]
        read_only_fields = fields


class BlueprintSerializer(serializers.ModelSerializer):
    """One version of a blueprint, with everything that it offers."""

    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, default=None)
    parent_version = serializers.UUIDField(source="parent_version_id", read_only=True, allow_null=True)
    bundles = BundleSerializer(many=True, read_only=True)

    class Meta:
        model = Blueprint
        fields = [
            "id",
            "name",
            "version",
            "parent_version",
            "team",
            "description",
            "operating_system",
            "software_manifest",
            "configuration",
            "origin",
            "status",
            "content_hash",
            "bundles",
            "published_at",
            "retired_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class BundleOfferSerializer(serializers.Serializer):
    """One AWS bundle to offer."""

    region = serializers.RegexField(r"^[a-z]{2}(-[a-z]+)+-\d$", max_length=32)
    bundle_type = serializers.ChoiceField(BundleType.choices)
    bundle_id = serializers.RegexField(r"^wsb-[0-9a-z]{8,60}$")
    image_id = serializers.RegexField(r"^wsi-[0-9a-z]{8,60}$", required=False, default="", allow_blank=True)


class RevisionSerializer(serializers.Serializer):
    """What may be changed of a draft; what is left out stays."""

    example = {"description": "Ubuntu with the compilers of 2027."}

    description = Text(max_length=5000, allow_blank=True, required=False)
    software_manifest = serializers.DictField(required=False)
    configuration = serializers.DictField(required=False)
    bundles = BundleOfferSerializer(many=True, required=False, max_length=200)


class VersionSerializer(RevisionSerializer):
    """The next version of a family: what is left out is taken from the version before."""

    example = {"description": "Ubuntu with the compilers of 2027."}


class DraftSerializer(RevisionSerializer):
    """A new family, or the next version of one by its name."""

    example = {
        "name": "engineering-linux",
        "team": "platform",
        "operating_system": "LINUX",
        "description": "Ubuntu with our compilers.",
        "bundles": [{"region": "eu-west-1", "bundle_type": "STANDARD", "bundle_id": "wsb-0123456ab"}],
    }

    name = Text(max_length=100)
    team = Text(max_length=63, required=False, allow_null=True, default=None)
    operating_system = serializers.ChoiceField(OperatingSystem.choices)
