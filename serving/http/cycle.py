"""What happens around every request: its id, its time, its errors in words, headers, one line in the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from ..faults import ServiceFault
from ..service import Call
from ..settings import ServerSettings
from . import pages
from .exchange import Exchange, current, request_id_of, work_on
from .logs import access_log, log_request
from .metrics import Metrics
from .problems import Refusal, dialect_of, internal_error, title
from .tracing import Tracer

logger = logging.getLogger("bert_ms.http")
GONE = "bertms.gone"  # in the WSGI environment: an event that is set when the client goes away
CLOSE = "bertms.close"  # there: whether the connection is to be closed after the answer
PARKING = "bertms.parking"  # there: a `service.Parking`, where it has no thread of its own
# There, where the connection is kept: sends a 200 by its head (see `Cycle.whole_head`) and its content.
WHOLE = "bertms.whole"
_PROBES = ("livez", "readyz", "health", "metrics")  # asked every few seconds; that all is well is worth no line
CLIENT_GONE = 499  # in log and metrics only: nobody is there to read it
# After these the rest of what the client sends is not worth reading, or it should look for another server.
_CLOSING = (408, 411, 413, 503)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_WHOLE = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + "".join(f"{k}: {v}\r\n" for k, v in _HEADERS.items())
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
# The client's own trace (W3C), by its name in the WSGI environment.
_TRACE = {"HTTP_TRACEPARENT": "traceparent", "HTTP_TRACESTATE": "tracestate"}


class Cycle:
    """The beginning and the end of requests.

    Args:
        settings: for the time that an answer may take.
        metrics: that count.
        tracer: that traces, if requests are traced.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics, tracer: Tracer | None):
        self._settings, self._metrics, self._tracer = settings, metrics, tracer

    def begin(self, environ: Mapping[str, Any], path: str, route: str) -> Exchange:
        """A request of a WSGI environment, which this thread works on from now."""
        gone = environ.get(GONE)
        if isinstance(gone, threading.Event):
            until = time.monotonic() + self._settings.request_timeout
            call = Call(until, gone, parking=environ.get(PARKING))
        else:
            call = Call.within(self._settings.request_timeout)
        exchange = Exchange(
            request_id=request_id_of(environ.get("HTTP_X_REQUEST_ID")),
            dialect=dialect_of(path),
            call=call,
            route=route,
            method=environ["REQUEST_METHOD"][:10],
            client=environ.get("REMOTE_ADDR"),
        )
        work_on(exchange)
        return exchange

    def head(self, exchange: Exchange, status: int, environ: dict[str, Any]) -> dict[str, str]:
        """Headers that every answer has, unless it has its own of that name."""
        if status in _CLOSING:
            environ[CLOSE] = True
        found = {**_HEADERS, "X-Request-Id": exchange.request_id}
        if timing := exchange.server_timing():
            found["Server-Timing"] = timing
        return found

    def whole_head(self, exchange: Exchange, length: int) -> bytes:
        """The head of a 200 in JSON as it is sent, of which only what the transport adds is missing."""
        timing = exchange.server_timing()
        told = f"Server-Timing: {timing}\r\n" if timing else ""
        return f"{_WHOLE}Content-Length: {length}\r\nX-Request-Id: {exchange.request_id}\r\n{told}".encode()

    def end(self, exchange: Exchange, status: int, length: int, environ: Mapping[str, Any]) -> None:
        """The answer is on its way: so many bytes."""
        for undo in exchange.undo:
            undo()
        if exchange.call.cancelled.is_set():
            status = CLIENT_GONE
        self._metrics.count(exchange, status)
        if self._tracer is not None:
            given = {name: environ[key] for key, name in _TRACE.items() if key in environ}
            self._tracer.record(exchange, status, given)
        level = logging.DEBUG if status < 400 and exchange.operation in _PROBES else logging.INFO
        if access_log.isEnabledFor(level):
            log_request(_line(exchange, status, length))
        work_on(None)


def install(app: Flask, cycle: Cycle, *, guard: Callable[[], None] | None = None) -> None:
    """Put an application's requests through this.

    Args:
        app: that has the routes.
        cycle: of its requests.
        guard: called before each request; raises a Refusal to stop it.
    """

    @app.before_request
    def begin() -> None:
        exchange = cycle.begin(request.environ, request.path, request.url_rule.rule if request.url_rule else "unknown")
        exchange.bytes_in = request.content_length or 0
        if guard is not None:
            guard()

    @app.after_request
    def head(response: Response) -> Response:
        for name, value in cycle.head(current(), response.status_code, request.environ).items():
            response.headers.setdefault(name, value)
        g.answered = response.status_code, response.content_length or 0
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        status, length = g.get("answered", (500, 0))
        cycle.end(current(), status, length, request.environ)

    app.register_error_handler(Exception, refused)


def refused(error: Exception) -> Response:
    """The answer to a request that failed, in words."""
    exchange = current()
    refusal = _as_refusal(error, exchange)
    if refusal.status == 500:
        logger.error("request failed", exc_info=error)
    exchange.code = refusal.code
    body = refusal.body(exchange.dialect, exchange.request_id)
    response = Response(body, refusal.status, content_type=refusal.content_type(exchange.dialect))
    response.headers.update(refusal.all_headers())
    return response


def _as_refusal(error: Exception, exchange: Exchange) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ServiceFault):
        return Refusal.of_fault(error, exchange.pointer)
    if isinstance(error, HTTPException) and error.code is not None and 400 <= error.code < 500:
        known = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        headers = {"Allow": known}
        described = "/docs" if pages.NAME in current_app.blueprints else "/openapi.json"
        detail = {
            404: f"there is no such path: GET {described} has them all.",
            405: f"the path does not know {exchange.method}: expected one of {known}.",
        }
        text = detail.get(error.code, f"{title(error.code).lower()}.")
        return Refusal(
            error.code, _CODES.get(error.code, "bad_request"), text, headers=headers if error.code == 405 else {}
        )
    return internal_error()


def _line(exchange: Exchange, status: int, length: int) -> dict[str, Any]:
    """The values of the access log. The path is the route's, not the client's: that could hold anything."""
    line: dict[str, Any] = {
        "request_id": exchange.request_id,
        "client": exchange.client,
        "method": exchange.method,
        "route": exchange.route,
        "status": status,
        "milliseconds": round(1000 * exchange.seconds(), 2),
        "bytes_in": exchange.bytes_in,
        "bytes_out": length,
    }
    if exchange.kind:
        timings = {name: round(1000 * value, 2) for name, value in exchange.call.timings.items()}
        line |= {"model": exchange.model, "kind": exchange.kind, "items": exchange.items, "tokens": exchange.tokens}
        line |= {"timings": timings}
    if exchange.code:
        line["code"] = exchange.code
    return line
