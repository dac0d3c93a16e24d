"""Bases of viewsets: reads are a queryset, a serializer and a filterset; writes make one service call.

class WorkSpaceViewSet(ReadViewSet):
    queryset = WorkSpace.objects.select_related("owner", "team")
    serializer_class = WorkSpaceSerializer
    filterset_class = WorkSpaceFilterSet
    ordering_fields = ("created_at", "name")
    search_fields = ("name",)

    @action(detail=True, methods=["post"])
    @idempotent
    def stop(self, request, pk=None):
        answer = services.stop(actor=self.actor, workspace=self.get_object(), now=timezone.now())
        return self.accepted(answer.operation, self.body_of(answer.workspace))
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from forge.api import bodies
from forge.api.deprecations import deprecation_of
from forge.api.errors import Hidden, NotFound, parameter_error
from forge.api.etags import etag_of, if_match
from forge.api.filters import InvalidParameter, refuse_unknown
from forge.api.scoping import InOwnScope
from forge.db import replica, scope

DRY_RUN = "dry_run"


def flag(request: Request, name: str) -> bool:
    """The truth of `?name=true|false`, False when absent; raises InvalidParameter for any other word."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidParameter(f"{name} is true or false.", errors=[parameter_error(name, "true or false.")])
    return text == "true"


class ForgeViewSet(InOwnScope, GenericViewSet):
    """What every viewset has: the actor, the dry-run flag, If-Match, and rows visible to the caller only."""

    lookup_value_regex = "[^/]+"
    extra_parameters: tuple[str, ...] = ()  # query parameters that the view reads itself
    dry_run_actions: tuple[str, ...] = ()  # actions that take ?dry_run=true; the others refuse it
    may_lag = False  # True where the answer may be seconds old: it is read from a replica, where there is one
    has_etag = False  # True where the model's `version` is raised by every change that people can see

    @property
    def actor(self) -> Any:
        """Who acts, for services and the audit log; audit's middleware puts it on the request."""
        return self.request._request.actor

    @property
    def dry_run(self) -> bool:
        """True for `?dry_run=true`: answer what would happen and change nothing."""
        return flag(self.request, DRY_RUN)

    @property
    def if_match(self) -> frozenset[str] | None:
        """The versions named in If-Match, for the service to compare under its lock; None = any."""
        return if_match(self.request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action is not None and (self.detail or request.method not in ("GET", "HEAD")):
            dry_run = (DRY_RUN,) if self.action in self.dry_run_actions else ()
            refuse_unknown(request, (*dry_run, *self.extra_parameters))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Says with every answer, refusals too, what of the operation is deprecated."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if (deprecation := deprecation_of(self, self.action)) is not None:
            for name, value in deprecation.headers.items():
                response[name] = value
        return response

    def get_queryset(self) -> QuerySet:
        """The rows that the caller may see."""
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()  # the OpenAPI schema asks for the model only, without a caller
        if self.may_lag and self.request.method in SAFE_METHODS:
            queryset = replica.of(queryset)
        return queryset.visible_to(self.request.user) if hasattr(queryset, "visible_to") else queryset

    def get_object(self) -> Any:
        """The row of the address; raises NotFound, or Hidden (the same answer) when it is not the caller's to see."""
        where = {self.lookup_field: self.kwargs[self.lookup_url_kwarg or self.lookup_field]}
        try:
            found = self.filter_queryset(self.get_queryset()).filter(**where).first()
            if found is not None:
                self.check_object_permissions(self.request, found)
                return found
            with scope.system():
                hidden = super().get_queryset().filter(**where).exists()
        except (TypeError, ValueError, ValidationError):
            raise NotFound() from None
        raise Hidden() if hidden else NotFound()

    def validated(self, serializer_class: type[BaseSerializer], **context: Any) -> Any:
        """The body as `serializer_class` validated it; raises the 400 that names the fields, unknown ones too."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context() | context)
        return bodies.validated(serializer)

    def body_of(self, row: Any) -> Any:
        """`row` as the viewset's serializer shows it."""
        return self.get_serializer(row).data

    def accepted(self, operation: Any, body: Any) -> Response:
        """202 with the operation's address in Location."""
        return Response(body, status=202, headers={"Location": f"/api/v1/operations/{operation.id}/"})

    def created(self, row: Model, body: Any, *, address: str) -> Response:
        """201 with the new row's address and, where the view has them, its ETag."""
        return Response(body, status=201, headers={"Location": address} | self._etag(row))

    def shown(self, row: Model, body: Any) -> Response:
        """200 with the row and, where the view has them, its ETag."""
        return Response(body, headers=self._etag(row))

    def _etag(self, row: Any) -> dict[str, str]:
        return {"ETag": etag_of(row)} if self.has_etag else {}


class ReadViewSet(ListModelMixin, RetrieveModelMixin, ForgeViewSet):
    """List and detail of the rows that the caller may see."""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        return self.shown(row, self.body_of(row))
