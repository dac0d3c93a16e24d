"""Machines as the API shows and takes them."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cached_property
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from blueprints.models import BundleType, OperatingSystem
from forge.api.fields import Id, Text
from forge.operations.api.serializers import OperationSerializer
from workspaces.intents import LaunchSpec
from workspaces.lifecycle import State
from workspaces.models import ApplicationStack, ConfigurationChange, Quarantine, StateChange, WorkSpace
from workspaces.permissions import may
from workspaces.rules.reckoning import lifetime_ends
from workspaces.services.control import legal_of
from workspaces.services.many import MOST, VERBS

_TIME = serializers.DateTimeField()


class WorkSpaceSerializer(serializers.ModelSerializer):
    """One machine; `actions` are what its state and the caller's role allow now."""

    owner = serializers.EmailField(source="owner.email", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True)
    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True, default=None)
    blueprint = serializers.UUIDField(source="blueprint_id", read_only=True, allow_null=True)
    currency = serializers.CharField(source="organization.currency", read_only=True)
    lifetime_end = serializers.SerializerMethodField(help_text="Of the lifetime in force: a ceiling may be shorter.")
    connection_url = serializers.SerializerMethodField(
        help_text="Null until the machine is AVAILABLE. Of Applications: where a POST gives a streaming URL."
    )
    keep_alive = serializers.SerializerMethodField(help_text="Protected from automatic ends now.")
    findings = serializers.SerializerMethodField(help_text="Where the open findings of the machine and its place are.")
    actions = serializers.SerializerMethodField()

    class Meta:
        model = WorkSpace
        fields = [
            "id",
            "name",
            "service_type",
            "bundle_type",
            "operating_system",
            "running_mode",
            "blueprint",
            "application_ids",
            "root_volume_gb",
            "user_volume_gb",
            "state",
            "state_since",
            "health",
            "launched_at",
            "stopped_at",
            "terminated_at",
            "provider_id",
            "provider_state",
            "directory_user",
            "region",
            "ip_address",
            "connection_url",
            "protocol",
            "domain_join_status",
            "owner",
            "team",
            "project",
            "cost_to_date",
            "currency",
            "auto_stop_timeout_minutes",
            "max_lifetime_days",
            "lifetime_end",
            "last_connected_at",
            "keep_alive",
            "keep_alive_until",
            "keep_alive_reason",
            "last_activity_at",
            "next_action",
            "next_action_at",
            "quarantined_at",
            "tags",
            "findings",
            "actions",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField())
    def get_lifetime_end(self, workspace: WorkSpace) -> str:
        return _TIME.to_representation(self._lifetime_ends[workspace.id])

    @cached_property
    def _lifetime_ends(self) -> dict[uuid.UUID, datetime]:
        """Those of all machines that are shown, in one query."""
        is_one_of_many = isinstance(self.parent, serializers.ListSerializer)
        return lifetime_ends(self.parent.instance if is_one_of_many else [self.instance])

    def get_connection_url(self, workspace: WorkSpace) -> str | None:
        url = workspace.connection_url
        return self.context["request"].build_absolute_uri(url) if url and url.startswith("/") else url

    def get_keep_alive(self, workspace: WorkSpace) -> bool:
        return workspace.is_kept_alive(timezone.now())

    def get_findings(self, workspace: WorkSpace) -> str:
        return self.context["request"].build_absolute_uri(f"/api/v1/findings/?workspace={workspace.id}&open=true")

    def get_actions(self, workspace: WorkSpace) -> list[str]:
        user = self.context["request"].user
        return [action for action in legal_of(workspace) if may(user, action, workspace)]


class StateChangeSerializer(serializers.ModelSerializer):
    """One step of a machine's history."""

    from_state = serializers.SerializerMethodField(help_text="Empty for the launch.")

    class Meta:
        model = StateChange
        fields = ["from_state", "to_state", "occurred_at", "recorded_at", "reason", "correlation_id"]
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": ["", *State.values]})
    def get_from_state(self, change: StateChange) -> str:
        return change.from_state


class LaunchSerializer(serializers.Serializer):
    """The body of a launch (and of a quote)."""

    example = {
        "blueprint": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "team": "platform",
        "tags": {"cost-center": "r-100"},
    }

    service_type = serializers.ChoiceField(WorkSpace.ServiceType.choices, default=WorkSpace.ServiceType.PERSONAL)
    blueprint = Id(required=False, allow_null=True, default=None)
    application_ids = serializers.ListField(child=Text(max_length=100), max_length=50, required=False, default=list)
    bundle_type = serializers.ChoiceField(BundleType.choices)
    operating_system = serializers.ChoiceField(OperatingSystem.choices)
    running_mode = serializers.ChoiceField(WorkSpace.RunningMode.choices, default=WorkSpace.RunningMode.AUTO_STOP)
    region = Text(max_length=32, required=False, allow_null=True, default=None)
    team = Text(max_length=63, required=False, allow_null=True, default=None)
    project = Text(max_length=63, required=False, allow_null=True, default=None)
    owner = serializers.EmailField(required=False, allow_null=True, default=None)
    name = Text(max_length=100, required=False, default="", allow_blank=True)
    auto_stop_timeout_minutes = serializers.IntegerField(min_value=15, max_value=2880, default=60)
    max_lifetime_days = serializers.IntegerField(min_value=1, max_value=3650, default=90)
    tags = serializers.DictField(child=Text(max_length=255, allow_blank=True), required=False, default=dict)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        personal = attrs["service_type"] == WorkSpace.ServiceType.PERSONAL
        if personal and attrs["blueprint"] is None:
            raise serializers.ValidationError({"blueprint": "Name the blueprint to launch from."})
        if not personal and not attrs["application_ids"]:
            raise serializers.ValidationError({"application_ids": "Name the applications to stream."})
        if not personal and attrs["blueprint"] is not None:
            raise serializers.ValidationError({"blueprint": "Only WORKSPACES_PERSONAL is launched from a blueprint."})
        if personal and attrs["application_ids"]:
            raise serializers.ValidationError({"application_ids": "Only WORKSPACES_APPLICATIONS takes applications."})
        return attrs


class ConnectSerializer(serializers.Serializer):
    """Which of the machine's applications to open; without it the first, and of WorkSpaces Personal none."""

    example = {"application_id": "blender"}

    application_id = Text(max_length=100, required=False, default="", allow_blank=True)


class AccessSerializer(serializers.Serializer):
    """How to get in: of Personal registration code and user name for AWS's clients, of Applications `url`."""

    service_type = serializers.CharField()
    user_name = serializers.CharField()
    registration_code = serializers.CharField(allow_null=True)
    client_url = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


class ApplicationStackSerializer(serializers.ModelSerializer):
    """A stack that machines of WorkSpaces Applications are launched from, as AWS last showed it."""

    region = serializers.CharField(source="provider_account.region", read_only=True)

    class Meta:
        model = ApplicationStack
        fields = [
            "id",
            "name",
            "region",
            "application_ids",
            "bundle_type",
            "operating_system",
            "fleet_type",
            "fleet_state",
            "instance_type",
            "updated_at",
        ]
        read_only_fields = fields


class ConfigurationChangeSerializer(serializers.ModelSerializer):
    """One modification that took effect: what the machine was before it, and after it."""

    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()

    class Meta:
        model = ConfigurationChange
        fields = ["occurred_at", "recorded_at", "before", "after"]
        read_only_fields = fields

    def get_before(self, change: ConfigurationChange) -> dict[str, Any]:
        return change.before.beside(change.after)

    def get_after(self, change: ConfigurationChange) -> dict[str, Any]:
        return change.after.beside(change.before)


class ModifySerializer(serializers.Serializer):
    """What the machine is to become; what is not named stays."""

    example = {"bundle_type": "PERFORMANCE"}

    bundle_type = serializers.ChoiceField(BundleType.choices, required=False)
    running_mode = serializers.ChoiceField(WorkSpace.RunningMode.choices, required=False)
    auto_stop_timeout_minutes = serializers.IntegerField(min_value=15, max_value=2880, required=False)
    root_volume_gb = serializers.IntegerField(min_value=1, max_value=2000, required=False)
    user_volume_gb = serializers.IntegerField(min_value=1, max_value=2000, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Name at least one field to change.")
        return attrs


class BulkSerializer(serializers.Serializer):
    """The same for many machines."""

    example = {"action": "stop", "ids": ["01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f"]}

    action = serializers.ChoiceField(VERBS)
    ids = serializers.ListField(child=Id(), min_length=1, max_length=MOST)


class BulkItemSerializer(serializers.Serializer):
    """What one machine comes to; a refused one says why, as the single request would."""

    id = serializers.UUIDField()
    accepted = serializers.BooleanField()
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)


class BulkAnswerSerializer(serializers.Serializer):
    """How many machines are accepted and refused, each of them, and the operation that carries it out."""

    accepted = serializers.IntegerField()
    refused = serializers.IntegerField()
    items = BulkItemSerializer(many=True)
    operation = OperationSerializer(required=False, help_text="Not on a dry run.")


class MonthlyPriceSerializer(serializers.Serializer):
    """What the machine costs each month even if nobody starts it: `fee` and `storage` make the `amount`.

    `hourly` comes on top for each started hour. ESTIMATED: from the price book, `source` and `as_of` say whence.
    """

    amount = serializers.DecimalField(max_digits=18, decimal_places=6)
    fee = serializers.DecimalField(max_digits=18, decimal_places=6)
    storage = serializers.DecimalField(max_digits=18, decimal_places=6)
    hourly = serializers.DecimalField(max_digits=18, decimal_places=6)
    currency = serializers.CharField()
    basis = serializers.CharField()
    price_id = serializers.UUIDField()
    source = serializers.CharField()
    as_of = serializers.DateField()


class KeptSerializer(WorkSpaceSerializer):
    """A machine, and what keeping it costs; null where there is no price."""

    monthly_price = MonthlyPriceSerializer(read_only=True, allow_null=True)

    class Meta(WorkSpaceSerializer.Meta):
        fields = [*WorkSpaceSerializer.Meta.fields, "monthly_price"]
        read_only_fields = fields


class KeepAliveSerializer(serializers.Serializer):
    """Until when, and why; `until` null takes the protection away and needs no reason."""

    example = {"until": "2027-03-01T00:00:00Z", "reason": "Long build of the release branch."}

    until = serializers.DateTimeField(allow_null=True)
    reason = Text(max_length=500, required=False, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["until"] is not None and not attrs["reason"]:
            raise serializers.ValidationError({"reason": "Say why the machine must stay."})
        return attrs


def launch_spec(attrs: dict[str, Any]) -> LaunchSpec:
    """A validated LaunchSerializer body as the service takes it."""
    known = {name: attrs[name] for name in attrs if name not in ("blueprint", "application_ids", "hours")}
    return LaunchSpec(**known, blueprint_id=attrs["blueprint"], application_ids=tuple(attrs["application_ids"]))


class QuarantineSerializer(serializers.ModelSerializer):
    """Since when a machine's owner is switched off, who looks after what is on it, and until when it is kept."""

    heir = serializers.EmailField(source="heir.email", read_only=True, allow_null=True, default=None)
    is_handed_over = serializers.SerializerMethodField(help_text="Whether the heir may use it now.")

    class Meta:
        model = Quarantine
        fields = [
            "began_at", "kept_until", "heir", "handed_over_at", "is_handed_over", "hand_over_reason", "ended_at",
            "outcome",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_handed_over(self, quarantine: Quarantine) -> bool:
        return quarantine.is_handed_over(timezone.now())


class HandOverSerializer(serializers.Serializer):
    """The body of a hand-over."""

    example = {
        "heir": "heir@example.com",
        "until": "2027-01-15T18:00:00Z",
        "reason": "Save the notebooks of the project.",
    }

    heir = serializers.EmailField(help_text="A lead of the machine's team, or an admin.")
    until = serializers.DateTimeField()
    reason = Text(max_length=500)
