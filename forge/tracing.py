"""OpenTelemetry: requests, SQL statements and tasks as spans, sent to FORGE_OTLP_ENDPOINT.

Loaded only where that is set (forge.console.apps), so without it nothing of OpenTelemetry is imported. Statements are
sent as they are written, without their parameters. Sampling, batches and headers are set by OpenTelemetry's own
variables (OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_EXPORTER_OTLP_HEADERS).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

UNTRACED = "healthz,readyz,metrics,static"
"""What is asked every few seconds and tells nothing."""


def start() -> None:
    """Trace this process from now on; before Django makes its handler, which reads the middleware."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "robco-forge"}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.FORGE_OTLP_ENDPOINT.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    DjangoInstrumentor().instrument(tracer_provider=provider, excluded_urls=UNTRACED, response_hook=_name_request)
    PsycopgInstrumentor().instrument(tracer_provider=provider)
    CeleryInstrumentor().instrument(tracer_provider=provider)


def _name_request(span: Any, request: Any, response: Any) -> None:
    """The id that the log lines and the answer carry, so that one leads to the other."""
    span.set_attribute("forge.request_id", getattr(request, "request_id", ""))
