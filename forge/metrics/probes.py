"""Health and metrics are asked by address: of one container, one pod. What they answer does not depend on the name."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class ProbeHostMiddleware:
    """Lets Prometheus and probes send any Host to PROBES; every other page goes on refusing foreign ones.

    Their cookies are dropped: reading a session would wait for a database that is lost.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.rstrip("/") not in PROBES:
            return self.get_response(request)
        request.META.pop("HTTP_COOKIE", None)
        if settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = settings.ALLOWED_HOSTS[0].lstrip(".")
        return self.get_response(request)
