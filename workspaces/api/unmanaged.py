"""`/api/v1/unmanaged-machines/`: what AWS shows and nobody here answers for, and taking it over."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent, key_of
from forge.api.views import ReadViewSet
from forge.operations.api.serializers import OperationSerializer
from workspaces import actions
from workspaces.api.accounts import account_of
from workspaces.api.serializers import WorkSpaceSerializer
from workspaces.fleet import adopting, looking
from workspaces.fleet.taking import LIFETIME_DAYS, Wish
from workspaces.models import UnmanagedMachine, WorkSpace

_DRY_RUN = OpenApiParameter("dry_run", bool, description="Answer what would be taken over, and change nothing.")


class UnmanagedMachineSerializer(serializers.ModelSerializer):
    """One machine as AWS shows it, whose it would be, and what stands in the way."""

    provider_account = serializers.UUIDField(source="provider_account_id", read_only=True)
    region = serializers.CharField(source="provider_account.region", read_only=True)
    owner = serializers.EmailField(source="owner.email", read_only=True, allow_null=True, default=None)
    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, default=None)
    workspace = serializers.UUIDField(source="workspace_id", read_only=True, allow_null=True)

    class Meta:
        model = UnmanagedMachine
        fields = [
            "id",
            "provider_account",
            "region",
            "provider_id",
            "directory_id",
            "directory_user",
            "bundle_id",
            "bundle_type",
            "operating_system",
            "running_mode",
            "root_volume_gb",
            "user_volume_gb",
            "provider_state",
            "tags",
            "is_orphan",
            "verdict",
            "owner",
            "team",
            "first_seen_at",
            "gone_at",
            "workspace",
            "adopted_at",
        ]
        read_only_fields = fields


class AdoptSerializer(serializers.Serializer):
    """How a machine is to be taken over; `team` pays where the owner's only team does not say who does."""

    example = {"team": "platform", "max_lifetime_days": 90}

    team = Text(max_length=63, required=False, allow_null=True, default=None)
    max_lifetime_days = serializers.IntegerField(min_value=1, max_value=3650, default=LIFETIME_DAYS)


class AdoptFleetSerializer(AdoptSerializer):
    """The same for every machine of an account that can be taken over."""

    example = {"provider_account": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f", "team": "platform", "max_lifetime_days": 90}

    provider_account = serializers.UUIDField()


class UnmanagedMachineFilterSet(ForgeFilterSet):
    class Meta:
        model = UnmanagedMachine
        fields = {
            "verdict": ["exact", "in"],
            "provider_account": ["exact"],
            "is_orphan": ["exact"],
            "directory_user": ["exact"],
            "bundle_type": ["exact", "in"],
            "gone_at": ["isnull"],
            "adopted_at": ["isnull"],
        }


class UnmanagedMachineViewSet(ReadViewSet):
    """Machines of the organization's directories that no row describes; for its admins and auditors."""

    queryset = UnmanagedMachine.objects.select_related("provider_account", "owner", "team")
    serializer_class = UnmanagedMachineSerializer
    filterset_class = UnmanagedMachineFilterSet
    ordering_fields = ("first_seen_at",)
    ordering = "-first_seen_at"
    search_fields = ("directory_user", "provider_id")
    dry_run_actions = ("adopt_fleet",)
    audit_resource = "UnmanagedMachine"
    audit_action = {"adopt": actions.WORKSPACE_ADOPT, "adopt_fleet": actions.FLEET_ADOPT}

    @extend_schema(request=AdoptSerializer, responses={201: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    def adopt(self, request: Request, pk: str | None = None) -> Response:
        """Take one machine over: it is a workspace from now on, and its costs count. AWS is asked for it first."""
        key_of(request)  # one that is none is refused before AWS is asked, which is no call for a key's transaction
        looking.require_standing(actor=self.actor, machine=self.get_object())
        return self._adopt(request)

    adopt.idempotent = True

    @idempotent
    def _adopt(self, request: Request) -> Response:
        made = adopting.adopt(
            actor=self.actor, machine_id=self.get_object().id, wish=self._wish(AdoptSerializer), now=timezone.now()
        )
        shown = WorkSpace.objects.with_names().get(pk=made.pk)
        body = WorkSpaceSerializer(shown, context=self.get_serializer_context()).data
        return self.created(made, body, address=f"/api/v1/workspaces/{made.id}/")

    @extend_schema(
        operation_id="adopt_fleet",
        request=AdoptFleetSerializer,
        responses={202: OperationSerializer},
        parameters=[_DRY_RUN],
    )
    @action(detail=False, methods=["post"], url_path="adopt")
    @idempotent
    def adopt_fleet(self, request: Request) -> Response:
        """Take every machine of an account over that can be: 202 with the operation; 200 with counts on a dry run."""
        wish = self._wish(AdoptFleetSerializer)
        account = account_of(request.user, self.validated(AdoptFleetSerializer)["provider_account"])
        if self.dry_run:
            return Response(adopting.preview(actor=self.actor, account=account, wish=wish, now=timezone.now()))
        operation = adopting.ask(actor=self.actor, account=account, wish=wish, now=timezone.now())
        return self.accepted(operation, OperationSerializer(operation, context={"now": timezone.now()}).data)

    def _wish(self, serializer_class: type[serializers.Serializer]) -> Wish:
        wanted = self.validated(serializer_class)
        team = adopting.team_of(self.request.user.organization_id, wanted["team"])
        return Wish(team=team, max_lifetime_days=wanted["max_lifetime_days"])
