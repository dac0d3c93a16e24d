import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.test import Client, override_settings
from rest_framework import exceptions as drf
from rest_framework import serializers

from forge.api.errors import (
    BadRequest,
    Conflict,
    Denied,
    Hidden,
    NotFound,
    Problem,
    Refused,
    TooMany,
    Unavailable,
    flatten_errors,
)
from tests.forge.api.support import ERRORS


class BudgetExceeded(Refused):
    code = "budget_exceeded"
    title = "The budget does not hold this"


def raised_as(kind: type[Exception], cause: Exception) -> Exception:
    error = kind("secret words of the driver")
    error.__cause__ = cause
    return error


def sqlstate(state: str) -> Exception:
    return psycopg.errors.lookup(state)("secret words of the server")


CASES = {
    "refused": (BudgetExceeded("Too much."), 422, "budget_exceeded"),
    "denied": (Denied(), 403, "permission_denied"),
    "hidden": (Hidden(), 404, "not_found"),
    "conflict": (Conflict("No."), 409, "conflict"),
    "too many": (TooMany(retry_after=7), 429, "too_many_requests"),
    "unavailable": (Unavailable(), 503, "unavailable"),
    "http404": (Http404("secret"), 404, "not_found"),
    "django denied": (PermissionDenied(), 403, "permission_denied"),
    "too big": (RequestDataTooBig(), 413, "body_too_large"),
    "suspicious": (SuspiciousOperation("secret"), 400, "invalid"),
    "model": (ValidationError({"name": ["Wrong."]}), 400, "invalid"),
    "parse": (drf.ParseError("Not JSON."), 400, "malformed_body"),
    "not signed in": (drf.NotAuthenticated(), 401, "not_authenticated"),
    "bad token": (drf.AuthenticationFailed("No."), 401, "invalid_credentials"),
    "csrf": (drf.PermissionDenied("CSRF Failed: no cookie."), 403, "csrf_failed"),
    "media type": (drf.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
    "not acceptable": (drf.NotAcceptable(), 406, "not_acceptable"),
    "method": (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
    "throttled": (drf.Throttled(wait=12.5), 429, "too_many_requests"),
    "drf error": (drf.APIException("secret"), 500, "internal_error"),
    "lost database": (raised_as(OperationalError, sqlstate("57P01")), 503, "database_unavailable"),
    "no connection": (OperationalError("secret"), 503, "database_unavailable"),
    "closed connection": (InterfaceError("secret"), 503, "database_unavailable"),
    "deadlock": (raised_as(OperationalError, sqlstate("40P01")), 503, "database_busy"),
    "lock timeout": (raised_as(OperationalError, sqlstate("55P03")), 503, "database_busy"),
    "number too big": (raised_as(DataError, sqlstate("22003")), 400, "unstorable_value"),
    "division": (raised_as(DataError, sqlstate("22012")), 500, "internal_error"),
    "bug": (KeyError("secret"), 500, "internal_error"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("address", ["/api/v1/crash/", "/api/v1/plain/"])
def test_every_error_is_one_problem_document_that_keeps_our_secrets(client, address, case):
    ERRORS[case], status, code = CASES[case]
    answer = client.get(address, {"error": case}, HTTP_X_REQUEST_ID="r-1")
    document = answer.json()

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert {"type", "title", "detail", "instance", "errors", "request_id", "retryable", "suggested_action"} <= set(
        document
    )
    assert document["type"] == f"urn:robco-forge:problem:{code}"
    assert document["instance"] == address
    assert document["request_id"] == answer.headers["X-Request-ID"] == "r-1"
    assert "secret" not in answer.content.decode()
    assert document["retryable"] == (status in (429, 503))
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert answer.headers["Cache-Control"] == "no-store"


def test_throttling_says_how_long_to_wait(client):
    ERRORS["x"] = drf.Throttled(wait=12.5)
    assert client.get("/api/v1/crash/?error=x").headers["Retry-After"] == "13"
    ERRORS["x"] = TooMany(retry_after=7)
    assert client.get("/api/v1/crash/?error=x").headers["Retry-After"] == "7"


def test_a_refusal_carries_its_figures_as_json():
    figures = {
        "limit": Decimal("100.000000"),
        "period_end": datetime(2026, 4, 1, tzinfo=UTC),
        "budget": uuid.UUID(int=7),
    }
    problem = BudgetExceeded("No room.", extra=figures, suggested_action="Stop a machine.")
    document = json.loads(json.dumps(problem.document(instance="/x"), default=str))
    assert document["limit"] == "100.000000"
    assert document["suggested_action"] == "Stop a machine."
    assert document["detail"] == "No room."


def test_figures_cannot_replace_the_members_of_the_document():
    with pytest.raises(TypeError, match="status"):
        BudgetExceeded(extra={"status": 200})


def test_hidden_rows_answer_exactly_as_rows_that_never_were():
    assert Hidden().document() == NotFound().document()
    assert (Hidden.audit_result, NotFound.audit_result) == ("DENIED", "FAILURE")


def test_nested_field_errors_become_pointers():
    class Tag(serializers.Serializer):
        key = serializers.CharField(max_length=3)

    class Body(serializers.Serializer):
        name = serializers.CharField()
        tags = Tag(many=True)
        hours = serializers.ListField(child=serializers.IntegerField())
        labels = serializers.DictField(child=serializers.CharField(max_length=1))

        def validate(self, attrs):
            raise serializers.ValidationError("Never.", code="never")

    body = Body(data={"tags": [{"key": "abc"}, {"key": "abcd"}], "hours": [1, "x"], "labels": {"a/b~c": "long"}})
    assert not body.is_valid()
    found = {(e["pointer"], e["code"]) for e in flatten_errors(drf.ValidationError(body.errors).get_full_details())}
    assert found == {
        ("/name", "required"),
        ("/tags/1/key", "max_length"),
        ("/hours/1", "invalid"),
        ("/labels/a~1b~0c", "max_length"),
    }
    whole = Body(data={"name": "n", "tags": [], "hours": [], "labels": {}})
    assert not whole.is_valid()
    [error] = flatten_errors(drf.ValidationError(whole.errors).get_full_details())
    assert error == {"pointer": "", "field": "", "code": "never", "message": "Never."}


@pytest.mark.parametrize("detail", ["text", ["one", "two"], {"message": ["Required."], "code": ["Required."]}, []])
def test_field_errors_of_any_shape_are_flattened(detail):
    errors = flatten_errors(drf.ValidationError(detail).get_full_details())
    assert all(set(error) == {"pointer", "field", "code", "message"} for error in errors)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_address_of_the_api_is_a_problem_document(client, method, debug):
    with override_settings(DEBUG=debug):
        answer = getattr(client, method)("/api/v1/nowhere/")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_method_that_is_not_known_names_those_that_are(client):
    answer = client.put("/api/v1/runs/", {}, format="json")
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["Allow"]


def test_a_media_type_that_is_not_read_is_a_415_and_one_that_is_not_written_a_406(client):
    form = client.post("/api/v1/switches/", "job=a", content_type="application/x-www-form-urlencoded")
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
    multipart = client.post("/api/v1/switches/", {"job": "a"}, format="multipart", HTTP_IDEMPOTENCY_KEY="k")
    assert (multipart.status_code, multipart.json()["code"]) == (415, "unsupported_media_type")
    xml = client.get("/api/v1/runs/", HTTP_ACCEPT="application/xml")
    assert (xml.status_code, xml.json()["code"]) == (406, "not_acceptable")


def test_nobody_signed_in_is_a_401_that_says_how(client):
    client.credentials()
    answer = client.get("/api/v1/runs/")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_djangos_own_csrf_page_becomes_a_problem_document():
    answer = Client(enforce_csrf_checks=True).post("/api/v1/guarded/")
    assert answer.status_code == 403
    assert answer.json()["code"] == "permission_denied"


@override_settings(ALLOWED_HOSTS=["forge.example"])
def test_a_foreign_host_name_is_a_problem_document(client):
    answer = client.get("/api/v1/runs/", HTTP_HOST="evil.example")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_lost_database_is_a_503_on_pages_too(client):
    ERRORS["x"] = OperationalError("secret")
    answer = client.get("/page/?error=x")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert b"secret" not in answer.content


def test_a_problem_raised_in_middleware_is_still_that_problem(client):
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, "tests.forge.api.test_errors.refusing_middleware"]):
        answer = client.get("/api/v1/runs/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def refusing_middleware(get_response):
    def middleware(request):
        raise Unavailable("The audit log cannot be written.")

    return middleware


def test_an_unforeseen_error_is_logged_with_its_traceback(client, caplog):
    ERRORS["x"] = KeyError("what happened")
    client.get("/api/v1/crash/?error=x")
    assert "what happened" in caplog.text
    assert type(Problem()) is Problem
    assert issubclass(BadRequest, Problem)


@pytest.mark.django_db
def test_an_address_with_thousands_of_parameters_is_a_400(client):
    answer = client.get("/api/v1/runs/?" + "&".join(f"p{number}=1" for number in range(2000)))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
def test_options_and_head_are_answered(client):
    assert client.options("/api/v1/runs/").status_code == 200
    assert client.head("/api/v1/runs/").status_code == 200


def test_a_preflight_of_the_portal_may_send_our_headers(client):
    origin = "https://portal.example"
    with override_settings(CORS_ALLOWED_ORIGINS=[origin]):
        answer = client.options(
            "/api/v1/switches/",
            HTTP_ORIGIN=origin,
            HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST",
            HTTP_ACCESS_CONTROL_REQUEST_HEADERS="idempotency-key, if-match",
        )
        refused = client.get("/api/v1/nowhere/", HTTP_ORIGIN=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert {"idempotency-key", "if-match"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert refused.headers["Access-Control-Allow-Origin"] == origin
