"""What becomes of a request that is there as a whole: the application is asked, or it is refused."""

from __future__ import annotations

import functools
from typing import Any

from waitress.proxy_headers import PROXY_HEADERS
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import build_http_date

from .cycle import CLOSE, GONE, PARKING, WHOLE
from .exchange import request_id_of
from .problems import MEANINGS, Refusal, dialect_of
from .wire import too_large

IDENT = "bert-ms"
NO_ROOM_SECONDS = 5.0
_CODES = {
    400: "bad_request",
    408: "request_timeout",
    413: "body_too_large",
    431: "head_too_large",
    500: "internal_error",
    501: "transfer_encoding_unknown",
    503: "no_room",
}
_AS_THEY_ARE = ("CONTENT_LENGTH", "CONTENT_TYPE")


class Answer(WSGITask):  # type: ignore[misc]
    """Asks the application, and sends what it says."""

    environ: dict[str, Any] | None
    wrote_header: bool
    complete: bool
    content_length: int | None
    content_bytes_written: int

    def get_environment(self) -> dict[str, Any]:
        """As waitress has it, in less time, and without what only proxies say: there is none that is trusted."""
        if self.environ is None:
            self.environ = self._environment()
        return self.environ

    def _environment(self) -> dict[str, Any]:
        request, channel = self.request, self.channel
        path = request.path
        environ = {
            **channel.environ,
            "REQUEST_METHOD": request.command,
            "SERVER_PROTOCOL": f"HTTP/{self.version}",
            "PATH_INFO": "/" + path.lstrip("/") if path.startswith("/") else path,
            "REQUEST_URI": request.request_uri,
            "QUERY_STRING": request.query,
            "wsgi.url_scheme": request.url_scheme,
            "wsgi.input": request.get_body_stream(),
            GONE: channel.gone,
        }
        for name, value in request.headers.items():
            if name not in PROXY_HEADERS:
                environ.setdefault(name if name in _AS_THEY_ARE else f"HTTP_{name}", value)
        if channel.parking is not None:
            environ[PARKING] = channel.parking
        if self.version == "1.1" and not request.connection_close:
            environ[WHOLE] = self.send_whole
        return environ

    def send_whole(self, head: bytes, content: bytes) -> None:
        """Send an answer after which the connection is kept.

        Args:
            head: with a line for each header but Date and Server, which are added.
            content: of the length that the head says.
        """
        self.wrote_header = self.complete = True
        self.content_length = self.content_bytes_written = len(content)
        self.channel.send_whole(b"%s%s\r\n%s" % (head, _signature(int(self.start_time)), content))

    def write(self, data: bytes) -> None:
        """As waitress does; but an answer that is there as a whole leaves with its head, and wakes its client once."""
        if self.wrote_header or not self.has_body or len(data) != self.content_length:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header, self.content_bytes_written = True, len(data)
        self.channel.send_whole(head + data)

    def build_response_header(self) -> bytes:
        if self.environ and self.environ.get(CLOSE):
            self.channel.must_linger = True
            self.set_close_on_finish()
        found: bytes = super().build_response_header()
        return found


class Refused(ErrorTask):  # type: ignore[misc]
    """What never reached the application, in the form in which the application would have said it."""

    def execute(self) -> None:
        error = self.request.error
        refusal = Refusal(error.code, _CODES.get(error.code, "bad_request"), f"{MEANINGS[error.code].lower()}.")
        if error.code == 413:
            refusal = too_large(self.channel.adj.max_request_body_size - 1)
        elif error.code == 503:
            refusal.detail = "there is no room for a body of this length now: come again, or send fewer inputs at once."
            refusal.retry_after = NO_ROOM_SECONDS
        elif error.code == 400:
            refusal.detail = f"this is no request of HTTP: {error.body}."
        dialect = dialect_of(getattr(self.request, "path", ""))
        request_id = request_id_of(self.request.headers.get("X_REQUEST_ID"))
        body = refusal.body(dialect, request_id)
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", refusal.content_type(dialect)),
            ("X-Request-Id", request_id),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            *refusal.all_headers().items(),
        ]
        self.channel.must_linger = True
        self.set_close_on_finish()
        self.content_length = len(body)
        if error.code >= 500 or error.code in (408, 413, 431):
            self.channel.server.on_refused(refusal.code)
        self.write(b"" if getattr(self.request, "command", "") == "HEAD" else body)


@functools.lru_cache(maxsize=2)
def _signature(second: int) -> bytes:
    """The lines that every answer of a second has."""
    return f"Date: {build_http_date(second)}\r\nServer: {IDENT}\r\n".encode()
