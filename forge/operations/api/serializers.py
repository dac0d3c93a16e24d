"""Operations as the API shows them."""

import uuid
from datetime import timedelta
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from forge.operations.handlers import cancellable_of
from forge.operations.models import Operation

FOR_PEOPLE_ON_CALL = frozenset({"internal"})


class TargetSerializer(serializers.Serializer):
    """What the operation is about."""

    type = serializers.CharField(source="target_type")
    id = serializers.UUIDField(source="target_id")


class StepSerializer(serializers.Serializer):
    """One thing that the worker reached, in order; `times` counts repetitions."""

    name = serializers.CharField()
    first_at = serializers.DateTimeField()
    at = serializers.DateTimeField()
    times = serializers.IntegerField()
    detail = serializers.JSONField()


class ErrorSerializer(serializers.Serializer):
    """The last fault, or why the operation failed; some codes carry figures of their own."""

    code = serializers.CharField()
    detail = serializers.CharField()
    at = serializers.DateTimeField()
    attempt = serializers.IntegerField()


class OperationSerializer(serializers.ModelSerializer):
    """One piece of long work, how far it is, and how it stands against its promise."""

    target = TargetSerializer(source="*", read_only=True)
    steps = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    attempts = serializers.IntegerField(source="attempt", read_only=True)
    cancellable = serializers.SerializerMethodField(help_text="Whether a request to cancel it can have an effect.")
    cancel_requested = serializers.SerializerMethodField()
    queued_seconds = serializers.SerializerMethodField()
    running_seconds = serializers.SerializerMethodField()
    duration_seconds = serializers.SerializerMethodField(help_text="From the request to the end, or to now.")
    late = serializers.SerializerMethodField(help_text="Whether it ended, or goes on, past deadline_at.")

    class Meta:
        model = Operation
        fields = [
            "id",
            "kind",
            "target",
            "status",
            "progress",
            "steps",
            "result",
            "error",
            "spec",
            "actor_id",
            "owner_id",
            "team_id",
            "parent_id",
            "correlation_id",
            "attempts",
            "cancellable",
            "cancel_requested",
            "created_at",
            "started_at",
            "heartbeat_at",
            "next_attempt_at",
            "finished_at",
            "deadline_at",
            "queued_seconds",
            "running_seconds",
            "duration_seconds",
            "late",
        ]
        read_only_fields = fields

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, operation: Operation) -> list[dict[str, Any]]:
        return operation.steps

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, operation: Operation) -> dict[str, Any] | None:
        shown = {name: value for name, value in operation.error.items() if name not in FOR_PEOPLE_ON_CALL}
        return shown or None

    def get_cancellable(self, operation: Operation) -> bool:
        return operation.id in self._cancellable

    @cached_property
    def _cancellable(self) -> set[uuid.UUID]:
        """Those of all operations that are shown, in one query for each kind at most."""
        is_one_of_many = isinstance(self.parent, serializers.ListSerializer)
        return cancellable_of(self.parent.instance if is_one_of_many else [self.instance])

    def get_cancel_requested(self, operation: Operation) -> bool:
        return operation.cancel_requested_at is not None

    def get_queued_seconds(self, operation: Operation) -> float:
        return _seconds(operation.queued_for(self.context["now"]))

    def get_running_seconds(self, operation: Operation) -> float:
        return _seconds(operation.ran_for(self.context["now"]))

    def get_duration_seconds(self, operation: Operation) -> float:
        return _seconds(operation.duration(self.context["now"]))

    def get_late(self, operation: Operation) -> bool:
        return operation.is_late(self.context["now"])


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)
