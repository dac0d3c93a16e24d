"""OpenAPI as the API behaves: problem documents, idempotency keys, strict parameters, the bearer token."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer
from rest_framework import serializers

from forge.api.deprecations import deprecation_of
from forge.api.errors import CONTENT_TYPE, problem_of_status
from forge.api.views import DRY_RUN

_READ = {400: "Malformed", 401: "Not signed in", 403: "Not allowed", 429: "Too many requests", 503: "Unavailable"}
_ROW = {404: "Not found, or another organization's"}
_WRITE = {
    409: "The present state does not allow it",
    413: "The body is too large",
    415: "Not JSON",
    422: "A rule does not allow it",
}
_REQUEST_ID = "7d9c2a44-5d0e-4b53-9a55-0f2f5f1d3c11"
_MATCH = {412: "It changed since it was read"}
_COMMON = {**_READ, **_ROW, **_WRITE, **_MATCH}


class ProblemErrorSerializer(serializers.Serializer):
    """One field or parameter that is wrong."""

    pointer = serializers.CharField(required=False, help_text="RFC 6901 pointer into the body.")
    field = serializers.CharField(required=False)
    parameter = serializers.CharField(required=False, help_text="Name of the query parameter.")
    code = serializers.CharField()
    message = serializers.CharField()
    did_you_mean = serializers.CharField(required=False)


class ProblemSerializer(serializers.Serializer):
    """RFC 9457 problem document; some codes carry further members, such as the figures of a budget."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="Stable: decide by this one.")
    errors = ProblemErrorSerializer(many=True)
    request_id = serializers.CharField(allow_null=True)
    retryable = serializers.BooleanField(help_text="True when the same request may succeed later.")
    suggested_action = serializers.CharField(allow_blank=True)


def problem(status: int) -> dict[tuple[int, str], OpenApiResponse]:
    """A response for `extend_schema` where a method has a problem that its kind has not otherwise."""
    return {(status, CONTENT_TYPE): OpenApiResponse(ProblemSerializer, description=_COMMON[status])}


class ForgeSchema(AutoSchema):
    """drf-spectacular's schema with what every endpoint of Forge has in common."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """With the marks of what is deprecated, on the operation or on the field that it is."""
        operation = super().get_operation(*args, **kwargs)
        deprecation = deprecation_of(self.view, getattr(self.view, "action", None))
        if operation is None or deprecation is None:
            return operation
        marked = operation
        if deprecation.field:
            name, _, field = deprecation.field.partition(".")
            marked = self.registry[name, ResolvedComponent.SCHEMA].schema["properties"][field]
        marked.update(deprecation.marks)
        return operation

    def get_override_parameters(self) -> list[OpenApiParameter]:
        parameters = super().get_override_parameters()
        headers = []
        if getattr(self._handler(), "idempotent", False):
            headers.append(
                _header("Idempotency-Key", "1 to 255 printable ASCII characters; the same key gets the same answer.")
            )
        if self._changes_versioned_row():
            headers.append(_header("If-Match", "The ETag that was read; another one by now is a 412."))
        if self._may_be_dry():
            headers.append(
                OpenApiParameter(DRY_RUN, bool, OpenApiParameter.QUERY, description="Answer what would happen only.")
            )
        return [*parameters, *headers]

    def _get_filter_parameters(self) -> list[dict[str, Any]]:
        parameters = super()._get_filter_parameters()
        for parameter in parameters:
            if parameter["schema"].get("enum") == ["false", "true"]:
                parameter["schema"] = {"type": "boolean"}
        if self._is_list_view() and self.method == "GET" and getattr(self.view, "search_fields", ()):
            schema = {"type": "string", "maxLength": 200}
            parameters.append({"name": "q", "in": "query", "description": "Words to search for.", "schema": schema})
        return parameters

    def _get_request_body(self, direction: str = "request") -> dict[str, Any] | None:
        """With the `example` of the body's serializer, which tests/test_contract.py holds against its schema."""
        body = super()._get_request_body(direction)
        if body is None:
            return None
        serializer = self.get_request_serializer()
        shown = serializer.serializers[0] if isinstance(serializer, PolymorphicProxySerializer) else serializer
        example = getattr(shown, "example", None)
        if example is not None:
            body["content"]["application/json"]["example"] = example
        return body

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if self._may_be_dry() and "200" not in bodies:
            content = {"application/json": {"schema": {"type": "object", "additionalProperties": {}}}}
            bodies["200"] = {"content": content, "description": "What would happen (`dry_run`)"}
        for status, description in self._problems().items():
            if str(status) not in bodies:
                response = OpenApiResponse(ProblemSerializer, description=description)
                bodies[str(status)] = self._get_response_for_code(response, str(status), [CONTENT_TYPE], direction)
        return bodies

    def _problems(self) -> dict[int, str]:
        problems = dict(_READ)
        if "{" in self.path:
            problems |= _ROW
        if self.method != "GET":
            problems |= _WRITE
        if self._changes_versioned_row():
            problems |= _MATCH
        return problems

    def _may_be_dry(self) -> bool:
        return getattr(self.view, "action", None) in getattr(self.view, "dry_run_actions", ())

    def _changes_versioned_row(self) -> bool:
        return self.method != "GET" and "{" in self.path and getattr(self.view, "has_etag", False)

    def _handler(self) -> Any:
        name = getattr(self.view, "action", None) or self.method.lower()
        return getattr(self.view, name, None)


def share_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: each problem stands once, with an example, under components/responses."""
    shared = result["components"].setdefault("responses", {})
    for path, methods in result["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                problem = response.get("content", {}).get(CONTENT_TYPE)
                if problem is None:
                    continue
                example = problem_of_status(int(status)).document(instance=path, request_id=_REQUEST_ID)
                name = f"Problem{status}"
                if response["description"] != _COMMON[int(status)]:
                    name += "".join(word.capitalize() for word in re.findall(r"\w+", response["description"]))
                shared.setdefault(name, {**response, "content": {CONTENT_TYPE: {**problem, "example": example}}})
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return result


class BearerTokenScheme(OpenApiAuthenticationExtension):
    """How callers with a token sign in."""

    target_class = "forge.accounts.authentication.TokenAuthentication"
    name = "bearerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "forge_<prefix>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):
    """How the portal's pages sign in: by the session cookie, with X-CSRFToken on writes."""

    target_class = "forge.accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, required=False, description=description)
