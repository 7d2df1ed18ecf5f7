"""The short way of plain requests to a model: the same operations as by Flask's way, at a quarter of its time.

On a machine whose processors compute, what the front spends is lost to the engine. Whatever is not plain (other content
types, an Accept header, paths with parts) goes Flask's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.exceptions import ClientDisconnected

from .cycle import WHOLE, Cycle, refused
from .wire import JSON, Operation, Wire, dumped

_PLAIN_TYPES = (JSON, f"{JSON}; charset=utf-8")
_PLAIN_ACCEPTS = ("*/*", JSON)
_DONE = "200 OK"
SHORT = 4096  # bytes of a body


class App(Flask):
    """A Flask application with a short way, once it has one."""

    lane: Lane | None = None

    def is_short(self, request: Any) -> bool:
        """See `Lane.is_short`."""
        return self.lane is not None and self.lane.is_short(request)

    def wsgi_app(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """See Flask."""
        if self.lane is not None and (operation := self.lane.operation(environ)) is not None:
            return self.lane.answer(operation, environ, start_response)
        return super().wsgi_app(environ, start_response)


class Lane:
    """The short way to a wire's operations that take places in flight and JSON by a schema.

    Args:
        wire: with all its operations.
        cycle: around its requests.
    """

    def __init__(self, wire: Wire, cycle: Cycle):
        self._wire, self._cycle = wire, cycle
        self._operations = {
            one.path: one
            for one in wire.operations
            if one.is_counted and one.takes and one.raw is None and one.method == "POST" and "<" not in one.path
        }

    def is_short(self, request: Any) -> bool:
        """Whether a request of waitress takes no time worth mentioning, but for waiting for its answer."""
        return request.path in self._operations and 0 < request.content_length <= SHORT

    def operation(self, environ: dict[str, Any]) -> Operation | None:
        """What a request asks for, if it is a plain one."""
        found = self._operations.get(environ.get("PATH_INFO", ""))
        length = environ.get("CONTENT_LENGTH") or ""
        is_plain = (
            found is not None
            and environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") in _PLAIN_TYPES
            and environ.get("HTTP_ACCEPT", "*/*") in _PLAIN_ACCEPTS
            and "HTTP_CONTENT_ENCODING" not in environ
            and "HTTP_TRANSFER_ENCODING" not in environ
            and not environ.get("SCRIPT_NAME")
            and length.isascii()
            and length.isdigit()
            and len(length) < 12
            and int(length) <= self._wire.settings.max_body_bytes
        )
        return found if is_plain else None

    def answer(
        self, operation: Operation, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Its answer, as WSGI has it."""
        exchange = self._cycle.begin(environ, operation.path, operation.path)
        exchange.operation, exchange.bytes_in = operation.name, int(environ["CONTENT_LENGTH"])
        code, content, refusal = 500, b"", None
        try:
            try:
                code, content = 200, self._content(operation, environ)
            except Exception as error:
                refusal = refused(error)
                code, content = refusal.status_code, refusal.get_data()
        finally:
            self._cycle.end(exchange, code, len(content), environ)
        if refusal is None and (send := environ.get(WHOLE)) is not None:
            send(self._cycle.whole_head(exchange, len(content)), content)
            return ()
        own = dict(refusal.headers.items()) if refusal is not None else {"Content-Type": JSON}
        headers = {**self._cycle.head(exchange, code, environ), **own, "Content-Length": str(len(content))}
        start_response(refusal.status if refusal is not None else _DONE, list(headers.items()))
        return [content]

    def _content(self, operation: Operation, environ: dict[str, Any]) -> bytes:
        if operation.is_guarded:
            given = {"Authorization": environ.get("HTTP_AUTHORIZATION"), "X-Api-Key": environ.get("HTTP_X_API_KEY")}
            self._wire.keys.check(given)
        self._wire.enter()
        length = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"].read(length)
        if len(body) != length:
            raise ClientDisconnected
        return dumped(operation.view(body=self._wire.body(operation, body)))
