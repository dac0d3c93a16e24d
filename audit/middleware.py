"""The last word on every request: an actor for its view, its missing audit entry, and the receipt of what it left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from audit import capture, trail
from audit.actors import Actor
from audit.services import AuditUnavailable, append
from forge.api.errors import problem_response
from forge.api.middleware import API_PREFIX

logger = logging.getLogger(__name__)


class AuditMiddleware:
    """Makes sure that what was changed, failed or denied is in the log before the answer leaves, or answers 503."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.actor = SimpleLazyObject(partial(Actor.of_request, request))  # type: ignore[attr-defined]
        with trail.follow(request) as left:
            response = self.get_response(request)
            try:
                _complete(request, response, left)
            except (AuditUnavailable, DatabaseError, InterfaceError) as error:
                logger.error("%s %s: its audit entry cannot be written (%s)", request.method, request.path, error)
                return response if capture.may_fail(request, response) else _unavailable(request)
            if request.method not in capture.SAFE_METHODS and (entries := left.entries()):
                # One transaction keeps one lane, so its last receipt vouches for the entries before it too.
                response.setdefault("Audit-Receipt", str(entries[-1].receipt))
        return response


def _complete(request: HttpRequest, response: HttpResponseBase, left: trail.Trail) -> None:
    """Write the entry that the view owed, in a transaction of its own; of counted ones only the first of a minute."""
    entry = capture.owed(request, response, left.entries())
    if entry is None:
        return
    with transaction.atomic():
        if capture.is_to_be_written(request, entry):
            append(entry)


def _unavailable(request: HttpRequest) -> HttpResponse:
    problem = AuditUnavailable()
    if request.path.startswith(API_PREFIX):
        return problem_response(request, problem)
    response = HttpResponse(f"{problem.title}.", status=problem.status, content_type="text/plain")
    response["Retry-After"] = str(problem.retry_after)
    return response
