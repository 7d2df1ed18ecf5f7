"""What happens around every request: its id, its time, its errors in words, headers, one line in the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from ..faults import ServiceFault
from ..service import Call
from ..settings import ServerSettings
from .exchange import Exchange, current, request_id_of
from .logs import access_log
from .metrics import Metrics
from .problems import Refusal, dialect_of, internal_error, title
from .tracing import Tracer

logger = logging.getLogger("bert_ms.http")
GONE = "bertms.gone"  # in the WSGI environment: an event that is set when the client goes away
CLOSE = "bertms.close"  # there: whether the connection is to be closed after the answer
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
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def install(
    app: Flask, settings: ServerSettings, metrics: Metrics, tracer: Tracer, *, guard: Callable[[], None] | None = None
) -> None:
    """Put an application's requests through this.

    Args:
        app: that has the routes.
        settings: for the time that an answer may take.
        metrics: that count.
        tracer: that traces.
        guard: called before each request; raises a Refusal to stop it.
    """

    @app.before_request
    def begin() -> None:
        call = Call.within(settings.request_timeout)
        gone = request.environ.get(GONE)
        if isinstance(gone, threading.Event):
            call = Call(deadline=call.deadline, cancelled=gone)
        name = request_id_of(request.headers.get("X-Request-Id"))
        g.exchange = Exchange(request_id=name, dialect=dialect_of(request.path), call=call)
        if guard is not None:
            guard()

    @app.after_request
    def head(response: Response) -> Response:
        exchange = current()
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = exchange.request_id
        if timing := exchange.server_timing():
            response.headers["Server-Timing"] = timing
        if response.status_code in _CLOSING:
            request.environ[CLOSE] = True
        g.answered = response.status_code, response.content_length or 0
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        exchange = current()
        for undo in exchange.undo:
            undo()
        status, length = g.get("answered", (500, 0))
        if exchange.call.cancelled.is_set():
            status = CLIENT_GONE
        metrics.count(exchange, status)
        tracer.record(exchange, status, {name.lower(): value for name, value in request.headers})
        access_log.info("request", extra={"values": _line(exchange, status, length)})

    app.register_error_handler(Exception, _refused)


def _refused(error: Exception) -> Response:
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
        headers = {"Allow": ", ".join(sorted(getattr(error, "valid_methods", None) or ()))}
        detail = {404: "there is no such path: GET /docs has them all.", 405: "the path does not know this method."}
        text = detail.get(error.code, f"{title(error.code).lower()}.")
        return Refusal(
            error.code, _CODES.get(error.code, "bad_request"), text, headers=headers if error.code == 405 else {}
        )
    return internal_error()


def _line(exchange: Exchange, status: int, length: int) -> dict[str, Any]:
    """The values of the access log. The path is the route's, not the client's: that could hold anything."""
    line: dict[str, Any] = {
        "request_id": exchange.request_id,
        "client": request.remote_addr,
        "method": request.method if request.url_rule else request.method[:10],
        "route": request.url_rule.rule if request.url_rule else "unknown",
        "status": status,
        "milliseconds": round(1000 * exchange.seconds(), 2),
        "bytes_in": request.content_length or 0,
        "bytes_out": length,
    }
    if exchange.kind:
        timings = {name: round(1000 * value, 2) for name, value in exchange.call.timings.items()}
        line |= {"model": exchange.model, "kind": exchange.kind, "items": exchange.items, "tokens": exchange.tokens}
        line |= {"timings": timings}
    if exchange.code:
        line["code"] = exchange.code
    return line
