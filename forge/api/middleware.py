"""The outermost words on every request: its id, and errors of the API as problem documents."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from forge.api.errors import (
    CONTENT_TYPE,
    BadRequest,
    answer_exception,
    as_problem,
    problem_of_status,
    problem_response,
)

API_PREFIX = "/api/"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


class RequestIdMiddleware:
    """Takes a sane `X-Request-ID` from the caller, else makes one; answers with it and names it in every log line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        structlog.contextvars.clear_contextvars()  # what a request that broke off has left on this thread
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = sent if _SANE_REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())  # type: ignore[attr-defined]
        request.META["HTTP_X_REQUEST_ID"] = request.request_id  # type: ignore[attr-defined]  # django-structlog reads it there
        response = self.get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


class ProblemMiddleware:
    """Turns what DRF did not answer under /api/ into problem documents, and a lost database into 503 everywhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not request.path.startswith(API_PREFIX):
            return response
        if response.status_code >= 400 and response.get("Content-Type") != CONTENT_TYPE:
            response = _as_problem_document(request, response)
        response.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["Authorization", "Cookie", "Accept"])
        for name, value in getattr(request, "rate_limit_headers", {}).items():
            response[name] = value
        return response

    def process_view(self, request: HttpRequest, *args: object) -> HttpResponse | None:
        """Refuse NUL in the address: PostgreSQL stores none, and a look-up for one is an error of the driver."""
        if "\x00" not in request.path and "%00" not in request.META.get("QUERY_STRING", ""):
            return None
        problem = BadRequest("The address contains a NUL byte.")
        if request.path.startswith(API_PREFIX):
            return problem_response(request, problem)
        return HttpResponse(problem.detail, status=problem.status, content_type="text/plain")

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponse | None:
        if request.path.startswith(API_PREFIX):
            return answer_exception(request, exc)
        if isinstance(exc, OperationalError | InterfaceError):
            problem = as_problem(exc)
            response = HttpResponse(f"{problem.title}.", status=problem.status, content_type="text/plain")
            response["Retry-After"] = str(problem.retry_after)
            return response
        return None


def _as_problem_document(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The problem document in place of an error page of Django's own, with the headers that the page had."""
    document = problem_response(request, problem_of_status(response.status_code))
    for name, value in response.items():
        if name.lower() not in ("content-type", "content-length"):
            document[name] = value
    document.cookies = response.cookies
    return document
