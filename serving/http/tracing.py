"""Spans by OpenTelemetry, where it is installed and switched on; nothing at all otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bert_ms import compat

from ..service import TIMINGS
from ..settings import ServerSettings
from .exchange import Exchange


class Tracer(Protocol):
    """Takes a request that is over."""

    def record(self, exchange: Exchange, status: int, headers: Mapping[str, str]) -> None:
        """Write its spans; `headers` may hold the client's own trace (W3C traceparent)."""


def open_tracer(settings: ServerSettings) -> Tracer | None:
    """The tracer that settings ask for, if they ask for one.

    Raises:
        DependencyError: tracing is on, and OpenTelemetry is not installed.
    """
    if not settings.tracing:
        return None
    purpose = "trace requests"
    sdk = compat.require("opentelemetry.sdk.trace", extra="otel", purpose=purpose)
    export = compat.require("opentelemetry.sdk.trace.export", extra="otel", purpose=purpose)
    otlp = compat.require("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel", purpose=purpose)
    resources = compat.require("opentelemetry.sdk.resources", extra="otel", purpose=purpose)
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": "bert-ms"}))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return Spans(provider)


class Spans:
    """A span for a request, with one for each part of its time: tok, queue, infer, post.

    They are written when the request is over, from the times that were taken anyway.

    Args:
        provider: an OpenTelemetry TracerProvider.
    """

    def __init__(self, provider: Any):
        purpose = "trace requests"
        self._trace = compat.require("opentelemetry.trace", extra="otel", purpose=purpose)
        propagation = compat.require(
            "opentelemetry.trace.propagation.tracecontext", extra="otel", purpose=purpose
        )
        self._propagator = propagation.TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("bert_ms")

    def record(self, exchange: Exchange, status: int, headers: Mapping[str, str]) -> None:
        """See `Tracer`; the parts stand one after the other in the order in which the time was spent."""
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        span = self._tracer.start_span(
            exchange.operation,
            context=self._propagator.extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            start_time=exchange.begun_at,
            attributes={
                "http.response.status_code": status,
                "bertms.request_id": exchange.request_id,
                "bertms.model": exchange.model,
                "bertms.task": exchange.kind,
                "bertms.items": exchange.items,
                "bertms.tokens": exchange.tokens,
            },
        )
        inside = self._trace.set_span_in_context(span)
        at = exchange.begun_at
        for name in TIMINGS:
            if name in exchange.call.timings:
                part = self._tracer.start_span(name, context=inside, start_time=at)
                at += int(exchange.call.timings[name] * 1e9)
                part.end(end_time=at)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR, exchange.code)
        span.end(end_time=max(at, exchange.begun_at + int(exchange.seconds() * 1e9)))
