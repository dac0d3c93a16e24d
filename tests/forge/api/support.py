"""A small API over forge.db's own tables, so that the kit is tested without any other room."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import connection
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from forge.api.deprecations import deprecated
from forge.api.errors import Conflict, Refused
from forge.api.etags import require_version
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent
from forge.api.views import ForgeViewSet, ReadViewSet
from forge.db.models import JobRun, JobSwitch

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "forge.api.middleware.RequestIdMiddleware",
    "forge.api.middleware.ProblemMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@dataclass
class Person:
    """As much of a user as the kit asks for."""

    pk: str
    organization_id: uuid.UUID | None = None
    teams: list[str] = field(default_factory=list)
    is_authenticated: bool = True

    def team_ids(self) -> list[str]:
        return self.teams


@dataclass
class Token:
    pk: str
    interface = "API"


class HeaderAuthentication(BaseAuthentication):
    """`Authorization: Bearer ann`: the person and the token are both called ann."""

    def authenticate(self, request: Request) -> tuple[Person, Token] | None:
        word, _, name = request.headers.get("Authorization", "").partition(" ")
        return (Person(name), Token(name)) if word == "Bearer" else None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="forge"'


class RunSerializer(serializers.ModelSerializer):
    class Meta:
        model = JobRun
        fields = ("id", "job", "outcome")


class RunFilterSet(ForgeFilterSet):
    class Meta:
        model = JobRun
        fields = {"outcome": ["exact", "in"], "started_at": ["gte", "lt"], "attempt": ["exact", "gte"]}


class RunViewSet(ReadViewSet):
    authentication_classes = (HeaderAuthentication,)
    queryset = JobRun.objects.all()
    serializer_class = RunSerializer
    filterset_class = RunFilterSet
    ordering_fields = ("started_at", "finished_at", "job", "attempt")
    ordering = "started_at"
    search_fields = ("job", "error")


class SwitchBody(serializers.Serializer):
    job = serializers.CharField(max_length=20)
    reason = serializers.CharField(max_length=200, required=False, default="")


class SwitchSerializer(serializers.ModelSerializer):
    version = serializers.IntegerField(default=7)

    class Meta:
        model = JobSwitch
        fields = ("id", "job", "reason", "version")


class TooManySwitches(Refused):
    code = "too_many_switches"
    title = "There are enough switches"


class SwitchGone(Conflict):
    code = "switch_gone"
    title = "The switch is gone"


class SwitchViewSet(ForgeViewSet):
    """POST writes one row; some job names fail after having written it."""

    authentication_classes = (HeaderAuthentication,)
    queryset = JobSwitch.objects.all()
    serializer_class = SwitchSerializer
    dry_run_actions = ("create",)
    has_etag = True

    @idempotent
    def create(self, request: Request) -> Response:
        body = self.validated(SwitchBody)
        if self.dry_run:
            return Response({"would": "create"})
        switch = JobSwitch.objects.create(organization_id=uuid.uuid4(), **body)
        switch.version = 7
        request._request.audit_receipt = f"1-2-{switch.pk.hex}"
        match body["job"]:
            case "refuse":
                raise TooManySwitches("No more.", extra={"limit": 3})
            case "conflict":
                raise SwitchGone("Gone.")
            case "teapot":
                return Response({"short": "stout"}, status=418)
            case "crash":
                raise ZeroDivisionError("boom")
            case "busy":
                with connection.cursor() as cursor:
                    cursor.execute("DO $$ BEGIN RAISE deadlock_detected; END $$")
        return self.created(switch, self.body_of(switch), address=f"/api/v1/switches/{switch.pk}/")

    @action(detail=True, methods=["post"])
    def bump(self, request: Request, pk: str | None = None) -> Response:
        row = self.get_object()
        row.version = 7
        require_version(row, self.if_match)
        return self.shown(row, self.body_of(row))


class AgingViewSet(ForgeViewSet):
    """An operation that is deprecated, and one of whose answer a field is."""

    authentication_classes = (HeaderAuthentication,)
    queryset = JobSwitch.objects.all()
    serializer_class = SwitchSerializer
    filter_backends = ()
    pagination_class = None

    @deprecated(since=date(2026, 1, 1), sunset=date(2027, 1, 1))
    def list(self, request: Request) -> Response:
        return Response([])

    @deprecated(since=date(2026, 1, 1), sunset=date(2028, 1, 1))
    @idempotent
    def create(self, request: Request) -> Response:
        wanted = self.validated(SwitchBody)
        return Response(wanted, status=201)

    @extend_schema(responses=SwitchSerializer)
    @action(detail=False, methods=["get"])
    @deprecated(since=date(2026, 1, 1), sunset=date(2027, 1, 1), field="Switch.reason")
    def newest(self, request: Request) -> Response:
        return Response(SwitchSerializer(JobSwitch(organization_id=uuid.uuid4(), job="a")).data)


class CrashingViewSet(ForgeViewSet):
    authentication_classes = (HeaderAuthentication,)
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None

    def list(self, request: Request) -> Response:
        raise ERRORS[request.query_params["error"]]


ERRORS: dict[str, Exception] = {}
"""What `/api/v1/crash/?error=name` raises; a test puts it there."""


def record_refusal(request: HttpRequest, problem: Any) -> None:
    """Stands for audit.capture.record_refusal: the row shows whether it committed with the answer."""
    JobSwitch.objects.create(organization_id=uuid.uuid4(), job="DENIED", reason=problem.code)
    request.audit_receipt = "9-9-denied"


def refusal_that_cannot_be_recorded(request: HttpRequest, problem: Any) -> None:
    """Stands for an audit log that cannot be written."""
    JobSwitch.objects.create(organization_id=uuid.uuid4(), job="DENIED", reason=problem.code)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
