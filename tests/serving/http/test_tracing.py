"""Spans go from a real server to whoever collects them, by OpenTelemetry's own exporter."""

from __future__ import annotations

import gzip
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.serving.process import running

TRACE = "0af7651916cd43dd8448eb211c80319c"
MODULE = "opentelemetry.exporter.otlp.proto.http"
REQUEST = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
pytest.importorskip(MODULE, reason="OpenTelemetry is not installed: pip install 'bert-ms[otel]'")


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a collector, and what it was sent: path and body."""
    taken = list[tuple[str, bytes]]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str) -> None:
    body = b'{"inputs": "my own secret text"}'
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/embed", body, REQUEST)) as answer:
        assert answer.status == 200


def test_a_collector_gets_the_spans_of_a_request_before_the_server_ends(
    collector: tuple[str, list[tuple[str, bytes]]],
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, taken = collector
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    with running("tests.serving.wire_process", "tracing=true", environment=environment) as server:
        ask(server.url)
        assert server.end() == 0
    spans = []
    for path, body in taken:
        assert path == "/v1/traces" and b"secret" not in body
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        for resource in message.resource_spans:
            assert "bert-ms" in [one.value.string_value for one in resource.resource.attributes]
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert [span.name for span in spans] == ["tok", "queue", "infer", "post", "embed"]
    assert {span.trace_id.hex() for span in spans} == {TRACE}


def test_a_collector_that_is_not_there_costs_no_request_and_is_told_of_in_the_log() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with running("tests.serving.wire_process", "tracing=true", environment=environment) as server:
        ask(server.url)
        assert server.end() == 0
    told = [line for line in server.lines if str(line["logger"]).startswith("opentelemetry")]
    assert told and "secret" not in str(told)
