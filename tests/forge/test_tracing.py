"""Tracing: nothing of it without the setting; with it requests, statements and tasks reach the collector."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forge.env import BASE_DIR

pytestmark = pytest.mark.usefixtures("django_db_setup")

WORK = """
import django
django.setup()
from django.db import connection
from django.test import Client
from django.urls import path
from forge.celery import app

@app.task(name="traced.task")
def traced(name):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [name])

traced.apply(args=["a secret"]).get()
Client().get("/api/v1/schema/?format=json", headers={"host": "localhost", "x-request-id": "the-request"})
Client().get("/healthz", headers={"host": "localhost"})
import sys
print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "opentelemetry.instrumentation"))])
"""


def work(**variables):
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=BASE_DIR,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def collector():
    """A collector of spans: its address, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def test_without_the_setting_nothing_of_it_is_imported():
    assert work(FORGE_OTLP_ENDPOINT="").strip().endswith("[]")


def test_requests_statements_and_tasks_become_spans_without_parameters(collector):
    address, bodies = collector
    work(FORGE_OTLP_ENDPOINT=address, OTEL_EXPORTER_OTLP_COMPRESSION="none")
    assert {path for path, _ in bodies} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in bodies]
    spans = [
        span for request in requests for resource in request.resource_spans
        for scope in resource.scope_spans for span in scope.spans
    ]  # fmt: skip
    names = {span.name for span in spans}
    assert any(name.startswith("GET") and "schema" in name for name in names), names
    assert "run/traced.task" in names
    assert "SELECT" in names, names
    statement = next(span for span in spans if span.name == "SELECT")
    task = next(span for span in spans if span.name == "run/traced.task")
    assert statement.trace_id == task.trace_id
    assert not [name for name in names if "healthz" in name]
    assert all(b"a secret" not in body for _, body in bodies)
    assert any(b"the-request" in body for _, body in bodies)
