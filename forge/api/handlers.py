"""Django's handler400, 403, 404 and 500: problem documents under /api/, plain pages elsewhere."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from forge.api.errors import Problem, as_problem, problem_of_status, problem_response
from forge.api.middleware import API_PREFIX


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, 413 for a body that is too large."""
    if request.path.startswith(API_PREFIX):
        return problem_response(request, as_problem(exception))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403"""
    if request.path.startswith(API_PREFIX):
        return problem_response(request, as_problem(exception))
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404"""
    if request.path.startswith(API_PREFIX):
        return problem_response(request, problem_of_status(404, "There is nothing at this address."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or what the exception that is being handled stands for, such as 503 for a lost database."""
    exception = sys.exc_info()[1]
    problem = as_problem(exception) if exception is not None else Problem()
    if request.path.startswith(API_PREFIX):
        return problem_response(request, problem)
    if type(problem) is Problem:
        return defaults.server_error(request)
    response = HttpResponse(f"{problem.title}.", status=problem.status, content_type="text/plain")
    if problem.retry_after is not None:
        response["Retry-After"] = str(problem.retry_after)
    return response
