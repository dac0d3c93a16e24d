"""Every refusal as one RFC 9457 problem document: the family of problems, and how other errors become one.

A service raises a subclass that stands beside the function that refuses and is named for the fact:

    class BudgetExceeded(Refused):
        code = "budget_exceeded"
        title = "The budget does not hold this"

    raise BudgetExceeded("…", extra={"limit": limit, "spent": spent, "reserved": reserved, "needed": needed})
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings
from rest_framework.utils.encoders import JSONEncoder

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
_RESERVED = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "errors", "request_id", "retryable", "suggested_action"}
)


class Problem(Exception):
    """A refusal or failure with a stable `code`; `extra` carries the figures that the reader needs.

    `advice` is what a person may do in the console, where `suggested_action` speaks of the API; empty = the same.
    Where `are_figures_told`, the detail says those of `extra` in words, and the console does not repeat them.
    """

    status = 500
    code = "internal_error"
    title = "Something went wrong on our side"
    suggested_action = "Look whether it was done before you ask again; if it stays so, tell an admin the request_id."
    advice = "Look whether it was done before you ask again; if it stays so, tell an admin."
    retryable = False
    retry_after: int | None = None
    audit_result = "FAILURE"
    are_figures_told = False

    def __init_subclass__(cls) -> None:
        """An action of its own is not told in the words of its parent's advice."""
        if "suggested_action" in vars(cls) and "advice" not in vars(cls):
            cls.advice = ""

    def __init__(
        self,
        detail: str = "",
        *,
        extra: Mapping[str, Any] | None = None,
        errors: Iterable[Mapping[str, Any]] = (),
        suggested_action: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.title
        self.extra = dict(extra or {})
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        if clash := _RESERVED & self.extra.keys():
            raise TypeError(f"{type(self).__name__}: {', '.join(sorted(clash))} belong to the document itself")
        if suggested_action is not None:
            self.suggested_action = suggested_action
        if retry_after is not None:
            self.retry_after = retry_after
        super().__init__(self.detail)

    def document(self, *, instance: str = "", request_id: str | None = None) -> dict[str, Any]:
        """The members of the problem document, the figures of `extra` last."""
        return {
            "type": f"urn:robco-forge:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "errors": self.errors,
            "request_id": request_id,
            "retryable": self.retryable,
            "suggested_action": self.suggested_action,
            **self.extra,
        }


class BadRequest(Problem):
    status, code, title = 400, "invalid", "The request is malformed"
    suggested_action = "Correct the fields named in errors and send it again."


class NothingToChange(BadRequest):
    code, title = "nothing_to_change", "It is as asked already"
    suggested_action = "Send at least one field with another value than it has."
    advice = "Change at least one of the fields."


class Unauthenticated(Problem):
    status, code, title = 401, "not_authenticated", "Sign in first"
    suggested_action = "Send `Authorization: Bearer <token>` with a live token."
    advice = "Sign in."


class Denied(Problem):
    status, code, title = 403, "permission_denied", "Your role does not allow this"
    suggested_action = "Ask your team lead or an administrator."
    audit_result = "DENIED"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such thing here"
    suggested_action = "Check the address; what belongs to others is not shown."


class Hidden(NotFound):
    """It exists but not for this caller: the same answer as NotFound, told apart only in the audit log."""

    audit_result = "DENIED"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This address does not take that method"
    suggested_action = "See the Allow header."


class NotAcceptable(Problem):
    status, code, title = 406, "not_acceptable", "None of the accepted media types can be produced"
    suggested_action = "Accept application/json."


class Conflict(Problem):
    status, code, title = 409, "conflict", "The present state does not allow this"
    suggested_action = "Read the resource again and decide anew."
    advice = "See how it stands now, and decide anew."


class PreconditionFailed(Problem):
    status, code, title = 412, "precondition_failed", "It changed since you read it"
    suggested_action = "Read it again and send its new ETag in If-Match."


class TooLarge(Problem):
    status, code, title = 413, "body_too_large", "The body is too large"
    suggested_action = "Send less."


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "This media type is not read here"
    suggested_action = "Send application/json."


class Refused(Problem):
    status, code, title = 422, "refused", "A rule does not allow this"
    suggested_action = ""
    audit_result = "DENIED"


class TooMany(Problem):
    status, code, title = 429, "too_many_requests", "Too many requests"
    suggested_action = "Wait for the seconds in Retry-After."
    retryable = True
    retry_after = 60


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "Not available for a moment"
    suggested_action = "Try again after the seconds in Retry-After."
    retryable = True
    retry_after = 5


class MalformedBody(BadRequest):
    code, title = "malformed_body", "The body cannot be read"
    suggested_action = "Send one JSON object in UTF-8."


class InvalidCredentials(Unauthenticated):
    code, title = "invalid_credentials", "The credentials are not valid"


class CsrfFailed(Denied):
    code, title = "csrf_failed", "The request did not prove that it comes from our pages"
    suggested_action = "Send the csrftoken cookie's value in X-CSRFToken, from an allowed origin."


class DatabaseUnavailable(Unavailable):
    code, title = "database_unavailable", "The database does not answer"


class DatabaseBusy(Unavailable):
    code, title = "database_busy", "The database was too busy to finish this; nothing was changed"
    retry_after = 1


class UnstorableValue(BadRequest):
    code, title = "unstorable_value", "A value cannot be stored"
    suggested_action = "Send numbers and times of a sensible size, and text without control characters."


_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        BadRequest, Unauthenticated, Denied, NotFound, MethodNotAllowed, NotAcceptable, Conflict, PreconditionFailed,
        TooLarge, UnsupportedMediaType, Refused, TooMany, Unavailable,
    )
}  # fmt: skip

# SQLSTATEs under which the same request may well succeed a moment later: lock timeout, statement timeout,
# serialization failure, deadlock.
_BUSY = frozenset({"55P03", "57014", "40001", "40P01"})
# Too long, out of range, time out of range, not in the repertoire, NUL.
_UNSTORABLE = frozenset({"22001", "22003", "22008", "22021", "22P05"})


class ProblemResponse(HttpResponse):
    """A problem document; `problem` is what it says, for the audit log."""

    def __init__(self, problem: Problem, *, instance: str, request_id: str | None) -> None:
        body = json.dumps(problem.document(instance=instance, request_id=request_id), cls=JSONEncoder)
        super().__init__(body, content_type=CONTENT_TYPE, status=problem.status, headers=problem.headers)
        self.problem = problem
        if problem.retry_after is not None:
            self["Retry-After"] = str(problem.retry_after)
        if problem.status == 401:
            self.setdefault("WWW-Authenticate", 'Bearer realm="forge"')


def problem_response(request: HttpRequest, problem: Problem) -> ProblemResponse:
    """The answer to `request` that says `problem`."""
    return ProblemResponse(problem, instance=request.path, request_id=getattr(request, "request_id", None))


def problem_of_status(status: int, detail: str = "") -> Problem:
    """The plain problem of a status, for answers that were made elsewhere."""
    kind = _BY_STATUS.get(status, BadRequest if 400 <= status < 500 else Problem)
    problem = kind(detail)
    problem.status = status
    return problem


def as_problem(exc: BaseException) -> Problem:
    """The problem that `exc` stands for; an unforeseen error becomes a plain 500 that tells nothing of itself."""
    match exc:
        case Problem():
            return exc
        case drf.APIException():
            return _of_drf(exc)
        case Http404():
            return NotFound()
        case PermissionDenied():
            return Denied(str(exc))
        case ValidationError():
            return BadRequest(errors=_django_errors(exc))
        case RequestDataTooBig():
            return TooLarge("The body is larger than this installation reads.")
        case SuspiciousOperation() | UnreadablePostError():
            return BadRequest("The request cannot be read.")
        case OperationalError() | InterfaceError():
            busy = isinstance(exc.__cause__, psycopg.Error) and exc.__cause__.sqlstate in _BUSY
            return DatabaseBusy() if busy else DatabaseUnavailable()
        case DataError() if isinstance(exc.__cause__, psycopg.Error) and exc.__cause__.sqlstate in _UNSTORABLE:
            return UnstorableValue()
    return Problem()


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> ProblemResponse:
    """DRF's EXCEPTION_HANDLER: a problem document for whatever was raised."""
    request = context["request"]
    return answer_exception(getattr(request, "_request", request), exc)


def answer_exception(request: HttpRequest, exc: Exception) -> ProblemResponse:
    """The problem document for `exc`; what we did not foresee is logged with its traceback and told to Django."""
    problem = as_problem(exc)
    if type(problem) is Problem:
        logger.error("Unhandled error at %s %s", request.method, request.path, exc_info=exc)
        got_request_exception.send(sender=None, request=request)
    elif problem.status >= 500:
        logger.warning("%s %s answered %s: %s", request.method, request.path, problem.code, exc)
    return problem_response(request, problem)


def _of_drf(exc: drf.APIException) -> Problem:
    match exc:
        case drf.ValidationError():
            return BadRequest("Some fields are not valid.", errors=flatten_errors(exc.get_full_details()))
        case drf.ParseError():
            return MalformedBody(str(exc.detail))
        case drf.NotAuthenticated():
            return Unauthenticated()
        case drf.AuthenticationFailed():
            return InvalidCredentials(str(exc.detail))
        case drf.PermissionDenied():
            detail = str(exc.detail)
            return CsrfFailed(detail) if detail.startswith("CSRF Failed") else Denied(detail)
        case drf.Throttled():
            return TooMany(retry_after=max(1, int(getattr(exc, "wait", None) or 60)))
    return problem_of_status(exc.status_code, str(exc.detail)) if exc.status_code < 500 else Problem()


def flatten_errors(details: Any, path: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """DRF's nested error details as a flat list of {pointer, field, code, message}; pointer is RFC 6901."""
    if isinstance(details, Mapping):
        if details.keys() == {"message", "code"} and not isinstance(details["message"], Mapping | list):
            return [field_error(path, str(details["code"]), str(details["message"]))]
        named = (
            (() if key == api_settings.NON_FIELD_ERRORS_KEY else (str(key),), part) for key, part in details.items()
        )
        return [error for key, part in named for error in flatten_errors(part, path + key)]
    leaves = all(isinstance(part, Mapping) and part.keys() == {"message", "code"} for part in details)
    return [
        error
        for index, part in enumerate(details)
        for error in flatten_errors(part, path if leaves else (*path, str(index)))
    ]


def _django_errors(exc: ValidationError) -> list[dict[str, str]]:
    by_field = exc.error_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.error_list}
    return [
        field_error(() if field == NON_FIELD_ERRORS else (field,), error.code or "invalid", " ".join(error.messages))
        for field, errors in by_field.items()
        for error in errors
    ]


def field_error(path: tuple[str, ...], code: str, message: str) -> dict[str, str]:
    """One entry of `errors` about a field of the body."""
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"pointer": pointer, "field": ".".join(path), "code": code, "message": message}


def parameter_error(parameter: str, message: str, *, code: str = "invalid", **more: Any) -> dict[str, Any]:
    """One entry of `errors` about a query parameter."""
    return {"parameter": parameter, "code": code, "message": message, **more}
