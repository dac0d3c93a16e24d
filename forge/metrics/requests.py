"""Counts every request by the template of its route, its method and its status."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from forge.metrics.counters import REQUEST_SECONDS, REQUESTS

NO_ROUTE = "none"
"""Static files, and addresses that lead nowhere: anybody may make up as many as they like."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class CountingMiddleware:
    """The outermost: what any other answers or refuses is counted too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        route = template_of(match.route) if match and match.route else NO_ROUTE
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, response.status_code).inc()
        REQUEST_SECONDS.labels(route, method).observe(time.perf_counter() - began)
        return response


@lru_cache(maxsize=1024)
def template_of(route: str) -> str:
    """A route as people write it: `/api/v1/workspaces/<pk>/` for its regular expression."""
    return str(simplify_regex(route))
