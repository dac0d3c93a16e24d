"""`/api/v1/me/notifications/`: which mail the caller gets."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.fields import Text
from forge.api.views import ForgeViewSet
from forge.outbox import actions, preferences


class NotificationSerializer(serializers.Serializer):
    """A kind of notification, and whether it comes by mail."""

    kind = serializers.CharField()
    mail = serializers.BooleanField()
    is_always_told = serializers.BooleanField(help_text="It warns of a loss, so it cannot be switched off.")


class MyNotificationsSerializer(serializers.Serializer):
    """Every kind of notification."""

    notifications = NotificationSerializer(many=True)


class NotificationChoiceSerializer(serializers.Serializer):
    """A kind, and whether it shall come by mail."""

    kind = Text(max_length=64)
    mail = serializers.BooleanField()


class NotificationChoicesSerializer(serializers.Serializer):
    """What to change; kinds that are left out stay."""

    example = {"notifications": [{"kind": "workspace.ready", "mail": False}]}

    notifications = NotificationChoiceSerializer(many=True, allow_empty=False, max_length=100)


class MyNotificationsViewSet(ForgeViewSet):
    """Which notifications come to the caller by mail; webhooks are the organization's."""

    serializer_class = MyNotificationsSerializer
    audit_resource = "NotificationPreference"
    audit_action = {"partial_update": actions.NOTIFICATIONS_CHOOSE}

    @extend_schema(responses={200: MyNotificationsSerializer})
    def retrieve(self, request: Request) -> Response:
        """Every kind, and whether it comes by mail."""
        return Response(_shown(preferences.chosen(request.user.pk)))

    @extend_schema(request=NotificationChoicesSerializer, responses={200: MyNotificationsSerializer})
    def partial_update(self, request: Request) -> Response:
        """Switch kinds off and on; it counts for mail that is owed already too."""
        wanted = self.validated(NotificationChoicesSerializer)["notifications"]
        chosen = preferences.choose(
            actor=self.actor, wanted={one["kind"]: one["mail"] for one in wanted}, now=timezone.now()
        )
        return Response(_shown(chosen))


def _shown(chosen: dict[str, bool]) -> dict[str, object]:
    return {
        "notifications": [
            {"kind": kind, "mail": mail, "is_always_told": preferences.is_always_told(kind)}
            for kind, mail in chosen.items()
        ]
    }
