"""The counts of Celery's workers over HTTP: each worker answers on FORGE_METRICS_PORT, where that is set.

Workers serve no web pages, so Prometheus could not read theirs otherwise. One worker of a machine, or of a container,
is enough: it adds up what all processes wrote into PROMETHEUS_MULTIPROC_DIR.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from celery import bootsteps
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from forge.metrics.counters import may_read, processes

logger = logging.getLogger(__name__)


class Exporter(bootsteps.StartStopStep):  # type: ignore[misc]  # celery-types has no bootsteps
    """Starts with the worker and ends with it."""

    def __init__(self, parent: Any, **options: Any) -> None:
        self.enabled = bool(settings.FORGE_METRICS_PORT)
        self._server: WSGIServer | None = None
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        self._server = make_server("", settings.FORGE_METRICS_PORT, answer, _Threads, _Quiet)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        logger.info("Metrics are served on port %s.", self._server.server_port)

    def stop(self, parent: Any) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    terminate = stop


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application: `GET /metrics` with the token, and nothing else."""
    if environ["PATH_INFO"].rstrip("/") != "/metrics" or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return _say(start_response, "404 Not Found", b"Only GET /metrics is answered here.\n")
    if not may_read(environ.get("HTTP_AUTHORIZATION", "")):
        return _say(start_response, "401 Unauthorized", b"Send `Authorization: Bearer <FORGE_METRICS_TOKEN>`.\n")
    figures = generate_latest(processes())
    said = _say(start_response, "200 OK", figures, CONTENT_TYPE_LATEST)
    return said if environ["REQUEST_METHOD"] == "GET" else []


def _say(
    start_response: Callable[..., Any], status: str, text: bytes, kind: str = "text/plain; charset=utf-8"
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(text)))])
    return [text]


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter's name is the library's
        """A scrape every few seconds is no news."""
