"""`/api/v1/workspaces/`: machines to launch, look at and control; `/api/v1/applications/`: what can be streamed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.etags import require_version
from forge.api.idempotency import idempotent, refuse_key
from forge.api.schema import problem
from forge.api.views import ReadViewSet
from forge.operations.api.serializers import OperationSerializer
from forge.operations.models import Operation
from workspaces import actions, services
from workspaces.api.filters import ApplicationStackFilterSet, WorkSpaceFilterSet
from workspaces.api.moving import AttributionSerializer, MoveSerializer
from workspaces.api.rules import (
    ExtendSerializer,
    LeasedSerializer,
    LeaseSerializer,
    WhySerializer,
    WorkLeaseSerializer,
    leased,
)
from workspaces.api.serializers import (
    AccessSerializer,
    ApplicationStackSerializer,
    BulkAnswerSerializer,
    BulkSerializer,
    ConfigurationChangeSerializer,
    ConnectSerializer,
    HandOverSerializer,
    KeepAliveSerializer,
    KeptSerializer,
    LaunchSerializer,
    ModifySerializer,
    MonthlyPriceSerializer,
    QuarantineSerializer,
    StateChangeSerializer,
    WorkSpaceSerializer,
    launch_spec,
)
from workspaces.api.tags import RetagSerializer, TagsSerializer, tags_of
from workspaces.leavers.holding import hand_over
from workspaces.models import ApplicationStack, WorkSpace
from workspaces.rules.price import monthly_price
from workspaces.rules.why import leases_of, why

_DRY_RUN = OpenApiParameter("dry_run", bool, description="Answer what it would cost, and change nothing.")


class WorkSpaceViewSet(ReadViewSet):
    """Machines that the caller may see: one's own, those of teams one leads, all for organization-wide roles."""

    queryset = WorkSpace.objects.with_names()
    serializer_class = WorkSpaceSerializer
    filterset_class = WorkSpaceFilterSet
    ordering_fields = ("created_at", "name")
    ordering = "-created_at"
    search_fields = ("name", "directory_user", "provider_id")
    has_etag = True
    dry_run_actions = ("create", "modify", "move", "bulk")
    audit_resource = "WorkSpace"
    audit_action = {
        "create": actions.WORKSPACE_PROVISION,
        "start": actions.WORKSPACE_START,
        "stop": actions.WORKSPACE_STOP,
        "terminate": actions.WORKSPACE_TERMINATE,
        "destroy": actions.WORKSPACE_TERMINATE,
        "keep_alive": actions.WORKSPACE_KEEP_ALIVE,
        "extend": actions.WORKSPACE_EXTEND,
        "lease": actions.WORKSPACE_LEASE,
        "connect": actions.WORKSPACE_CONNECT,
        "open": actions.WORKSPACE_CONNECT,
        "modify": actions.WORKSPACE_MODIFY,
        "move": actions.WORKSPACE_MOVE,
        "partial_update": actions.WORKSPACE_TAG,
        "bulk": actions.WORKSPACE_BULK,
        "reboot": actions.WORKSPACE_REBOOT,
        "rebuild": actions.WORKSPACE_REBUILD,
        "restore": actions.WORKSPACE_RESTORE,
        "hand_over": actions.WORKSPACE_HAND_OVER,
    }

    @extend_schema(request=LaunchSerializer, responses={202: WorkSpaceSerializer}, parameters=[_DRY_RUN])
    @idempotent
    def create(self, request: Request) -> Response:
        """Launch a machine: 202 with its operation and what was reserved; 200 on a dry run."""
        spec = launch_spec(self.validated(LaunchSerializer))
        answer = services.launch(actor=self.actor, spec=spec, now=timezone.now(), dry_run=self.dry_run)
        if answer.workspace is None:
            return Response(answer.figures)
        return self._accepted(answer.workspace.id, answer.operation, answer.figures)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def start(self, request: Request, pk: str | None = None) -> Response:
        """Start a stopped machine."""
        return self._control(services.start)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def stop(self, request: Request, pk: str | None = None) -> Response:
        """Stop a running AutoStop machine."""
        return self._control(services.stop)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def terminate(self, request: Request, pk: str | None = None) -> Response:
        """End a machine; what is on its volumes is lost."""
        return self._control(services.terminate)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """The same as terminate."""
        return self._control(services.terminate)

    @extend_schema(request=RetagSerializer, responses={202: WorkSpaceSerializer, 200: WorkSpaceSerializer})
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Give the machine other tags: 202 with the operation that writes them in AWS; 200 where AWS takes none."""
        answer = services.tag(
            actor=self.actor,
            workspace_id=self.get_object().id,
            tags=self.validated(RetagSerializer)["tags"],
            now=timezone.now(),
            if_match=self.if_match,
        )
        if answer.operation is None:
            workspace = self.get_object()
            return self.shown(workspace, self.body_of(workspace))
        return self._accepted(answer.workspace.id, answer.operation, {})

    @extend_schema(responses={200: TagsSerializer})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def tags(self, request: Request, pk: str | None = None) -> Response:
        """The machine's tags: people's own, those that AWS is wanted to show, and what was written there."""
        return Response(TagsSerializer(tags_of(self.get_object())).data)

    @extend_schema(request=BulkSerializer, responses={202: BulkAnswerSerializer}, parameters=[_DRY_RUN])
    @action(detail=False, methods=["post"], pagination_class=None, filter_backends=[], audit_resource="Operation")
    @idempotent
    def bulk(self, request: Request) -> Response:
        """Start, stop, reboot or terminate up to 500 machines: 202 with one operation; 200 on a dry run."""
        wanted = self.validated(BulkSerializer)
        answer = services.bulk(
            actor=self.actor,
            verb=wanted["action"],
            workspace_ids=wanted["ids"],
            now=timezone.now(),
            dry_run=self.dry_run,
        )
        body = {**answer.counts, "items": answer.items}
        if answer.operation is None:
            return Response(body)
        shown = OperationSerializer(answer.operation, context={"now": timezone.now()}).data
        return self.accepted(answer.operation, {**body, "operation": shown})

    @extend_schema(request=ModifySerializer, responses={202: WorkSpaceSerializer}, parameters=[_DRY_RUN])
    @action(detail=True, methods=["post"])
    @idempotent
    def modify(self, request: Request, pk: str | None = None) -> Response:
        """Change the bundle type, the running mode or the volumes: 202, or 200 with the figures on a dry run."""
        wanted = self.validated(ModifySerializer)
        answer = services.modify(
            actor=self.actor,
            workspace_id=self.get_object().id,
            wanted=wanted,
            now=timezone.now(),
            if_match=self.if_match,
            dry_run=self.dry_run,
        )
        if answer.workspace is None:
            return Response(answer.figures)
        return self._accepted(answer.workspace.id, answer.operation, answer.figures)

    @extend_schema(
        request=MoveSerializer, responses={202: WorkSpaceSerializer, 200: WorkSpaceSerializer}, parameters=[_DRY_RUN]
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def move(self, request: Request, pk: str | None = None) -> Response:
        """Charge the machine to another team or project from the next hour on; what was booked stays where it is.

        202 with the operation that brings its tags in AWS after; 200 with the machine as it is now on a dry run, and
        where AWS takes no tags.
        """
        wanted = self.validated(MoveSerializer)
        answer = services.move(
            actor=self.actor,
            workspace_id=self.get_object().id,
            reason=wanted.pop("reason"),
            wanted=wanted,
            now=timezone.now(),
            if_match=self.if_match,
            dry_run=self.dry_run,
        )
        if answer.workspace is not None and answer.operation is not None:
            return self._accepted(answer.workspace.id, answer.operation, answer.figures)
        workspace = self.get_object()
        return self.shown(workspace, {**self.body_of(workspace), **answer.figures})

    @extend_schema(responses={200: AttributionSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def attributions(self, request: Request, pk: str | None = None) -> Response:
        """Whose the machine was before, and how it was tagged, oldest first; the newest thousand changes."""
        changes = self.get_object().attribution_changes.select_related("owner", "team", "project")
        newest = changes.order_by("-occurred_at", "-id")[:1000]
        return Response(AttributionSerializer(reversed(newest), many=True).data)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def reboot(self, request: Request, pk: str | None = None) -> Response:
        """Boot a running machine again; what is not saved is lost."""
        return self._control(services.reboot)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def rebuild(self, request: Request, pk: str | None = None) -> Response:
        """Make the system volume anew from the image; the user volume goes back to its last snapshot."""
        return self._control(services.rebuild)

    @extend_schema(request=None, responses={202: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def restore(self, request: Request, pk: str | None = None) -> Response:
        """Take both volumes back to their last snapshot; what was written since is lost."""
        return self._control(services.restore)

    @extend_schema(request=KeepAliveSerializer, responses={200: KeptSerializer})
    @action(detail=True, methods=["post"], url_path="keep-alive")
    @idempotent
    def keep_alive(self, request: Request, pk: str | None = None) -> Response:
        """Protect a machine from automatic ends until a time, or take that away with `until: null`.

        `monthly_price` says what it costs each month even if nobody starts it.
        """
        wanted = self.validated(KeepAliveSerializer)
        services.keep_alive(
            actor=self.actor,
            workspace_id=self.get_object().id,
            until=wanted["until"],
            reason=wanted["reason"],
            now=timezone.now(),
            if_match=self.if_match,
        )
        workspace = self.get_object()
        price = monthly_price(workspace, now=timezone.now())
        shown = MonthlyPriceSerializer(price).data if price else None
        return self.shown(workspace, {**self.body_of(workspace), "monthly_price": shown})

    @extend_schema(request=ExtendSerializer, responses={200: WorkSpaceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def extend(self, request: Request, pk: str | None = None) -> Response:
        """Let the lifetime end later, at most at the smallest ceiling; whole days from the launch are given."""
        wanted = self.validated(ExtendSerializer)
        services.extend(
            actor=self.actor,
            workspace_id=self.get_object().id,
            now=timezone.now(),
            if_match=self.if_match,
            **wanted,
        )
        workspace = self.get_object()
        return self.shown(workspace, self.body_of(workspace))

    @extend_schema(responses={200: WorkLeaseSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def leases(self, request: Request, pk: str | None = None) -> Response:
        """The work leases on the machine, the one that ends last first."""
        return Response(WorkLeaseSerializer(leases_of(self.get_object()), many=True).data)

    @extend_schema(request=LeaseSerializer, responses={201: LeasedSerializer})
    @leases.mapping.post
    @idempotent
    def lease(self, request: Request, pk: str | None = None) -> Response:
        """Keep the machine from being stopped for idleness while it works; the longest run holds all the same."""
        wanted = self.validated(LeaseSerializer)
        made = services.lease(
            actor=self.actor,
            workspace_id=self.get_object().id,
            until=wanted["until"],
            reason=wanted["reason"],
            now=timezone.now(),
            if_match=self.if_match,
        )
        address = f"/api/v1/workspaces/{made.workspace.id}/leases/"
        return Response(leased(made), status=201, headers={"Location": address})

    @extend_schema(responses={200: WhySerializer})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def why(self, request: Request, pk: str | None = None) -> Response:
        """What lies ahead of the machine by itself, when, and why; the latest decisions of the rules."""
        return Response(WhySerializer(why(workspace=self.get_object(), now=timezone.now())).data)

    @extend_schema(responses={200: AccessSerializer} | problem(409))
    @action(detail=True, methods=["get"])
    def connect(self, request: Request, pk: str | None = None) -> Response:
        """How to get into the machine; of Applications a streaming URL, while there is a session."""
        access = services.show_access(actor=self.actor, workspace_id=self.get_object().id, now=timezone.now())
        return Response(AccessSerializer(access).data)

    @extend_schema(request=ConnectSerializer, responses={200: AccessSerializer})
    @connect.mapping.post
    def open(self, request: Request, pk: str | None = None) -> Response:
        """The same, and a machine of Applications that has no session begins to run; the address is shown once, so an
        Idempotency-Key is refused.
        """
        refuse_key(request)
        wanted = self.validated(ConnectSerializer)
        workspace = self.get_object()
        require_version(workspace, self.if_match)  # AWS is asked outside a transaction, so nothing is locked
        access = services.connect(
            actor=self.actor,
            workspace_id=workspace.id,
            application_id=wanted["application_id"],
            now=timezone.now(),
        )
        return Response(AccessSerializer(access).data)

    @extend_schema(responses={200: QuarantineSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def quarantines(self, request: Request, pk: str | None = None) -> Response:
        """Every time that the machine's owner was switched off, the latest first; the open one has no `ended_at`."""
        held = self.get_object().quarantines.select_related("heir").order_by("-began_at", "-id")[:1000]
        return Response(QuarantineSerializer(held, many=True).data)

    @extend_schema(request=HandOverSerializer, responses={200: WorkSpaceSerializer})
    @action(detail=True, methods=["post"], url_path="hand-over")
    @idempotent
    def hand_over(self, request: Request, pk: str | None = None) -> Response:
        """Give somebody the use of a machine in quarantine until a time, to save what is on it."""
        wanted = self.validated(HandOverSerializer)
        hand_over(
            actor=self.actor,
            workspace_id=self.get_object().id,
            heir_email=wanted["heir"],
            until=wanted["until"],
            reason=wanted["reason"],
            now=timezone.now(),
            if_match=self.if_match,
        )
        workspace = self.get_object()
        return self.shown(workspace, self.body_of(workspace))

    @extend_schema(responses={200: StateChangeSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def history(self, request: Request, pk: str | None = None) -> Response:
        """Every state that the machine passed through, oldest first; the newest thousand."""
        changes = self.get_object().state_changes.order_by("-occurred_at", "-id")[:1000]
        return Response(StateChangeSerializer(reversed(changes), many=True).data)

    @extend_schema(responses={200: ConfigurationChangeSerializer(many=True)})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def configurations(self, request: Request, pk: str | None = None) -> Response:
        """Every change of what the machine is, oldest first; the newest thousand."""
        changes = self.get_object().configuration_changes.order_by("-occurred_at", "-id")[:1000]
        return Response(ConfigurationChangeSerializer(reversed(changes), many=True).data)

    def _control(self, service: Callable[..., services.Accepted]) -> Response:
        answer = service(
            actor=self.actor, workspace_id=self.get_object().id, now=timezone.now(), if_match=self.if_match
        )
        return self._accepted(answer.workspace.id, answer.operation, answer.figures)

    def _accepted(self, workspace_id: uuid.UUID, operation: Operation, figures: dict[str, Any]) -> Response:
        workspace = self.get_queryset().get(pk=workspace_id)
        shown = OperationSerializer(operation, context={"now": timezone.now()}).data
        return self.accepted(operation, {**self.body_of(workspace), "operation": shown, **figures})


class ApplicationStackViewSet(ReadViewSet):
    """What can be streamed by WorkSpaces Applications: the stacks that AWS offers to the caller's organization."""

    queryset = ApplicationStack.objects.offered().select_related("provider_account")
    serializer_class = ApplicationStackSerializer
    filterset_class = ApplicationStackFilterSet
    ordering_fields = ("name",)
    ordering = "name"
    search_fields = ("name",)
    audit_resource = "ApplicationStack"
