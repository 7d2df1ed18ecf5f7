"""Log lines for machines: one JSON object each, with the request's id, never with what a request asked."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import time
import traceback
from typing import IO, Any

import orjson

from ..settings import ServerSettings
from .exchange import known

ROOTS = ("bert_ms", "serving", "bert_ms_serving", "waitress", "opentelemetry")
access_log = logging.getLogger("bert_ms.access")
_REQUEST = "request"


def configure(settings: ServerSettings, stream: IO[str] | None = None) -> None:
    """Send the log of the server to a stream, standard error if None."""
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream or sys.stderr)
    has_messages = settings.log_level == "debug"
    if is_json(settings, handler.stream):
        handler = _Lines(handler.stream)
        handler.setFormatter(_Json(has_messages))
    else:
        handler.setFormatter(_Text(has_messages))
    for name in ROOTS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(settings.log_level.upper())
    waitress = logging.getLogger("waitress")
    waitress.setLevel(max(waitress.level, logging.WARNING))  # what it says below that names paths as clients wrote them
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # waiting for a thread is not worth a line a request
    is_wanted = settings.log_requests and settings.log_level in ("debug", "info")  # what a request's line is
    lowest = logging.DEBUG if settings.log_level == "debug" else logging.INFO
    access_log.setLevel(lowest if is_wanted else logging.CRITICAL)


def log_request(values: dict[str, Any]) -> None:
    """A line of the access log; where nobody listens between by a shorter way, since there is one for each request."""
    handlers = logging.getLogger(ROOTS[0]).handlers
    if access_log.handlers or len(handlers) != 1 or not isinstance(handlers[0], _Lines):
        access_log.info(_REQUEST, extra={"values": values})
    else:
        handlers[0].tell(values)


def is_json(settings: ServerSettings, stream: IO[str]) -> bool:
    """Whether lines to a stream are JSON: as the settings say, or where nobody reads along."""
    return settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())


class _Lines(logging.StreamHandler[Any]):
    """Writes lines, and those of the access log without a record of `logging`, which takes longer than the line."""

    def tell(self, values: dict[str, Any]) -> None:
        """Write what `_Json` makes of a request's values."""
        line = _line(time.time(), "info", access_log.name, _REQUEST, values)
        try:
            with self.lock or contextlib.nullcontext():
                self.stream.write(line + self.terminator)
                self.flush()
        except Exception:  # a full disk, or a closed pipe: as `logging` deals with it
            access_log.info(_REQUEST, extra={"values": values})


class _Plain(logging.Formatter):
    """Tells errors by their class and where they rose; their words, which may hold a request's text, only in debug."""

    def __init__(self, has_messages: bool):
        super().__init__()
        self.has_messages = has_messages

    def error(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        if self.has_messages:
            return self.formatException(record.exc_info)
        error = record.exc_info[1]
        frames = traceback.extract_tb(error.__traceback__)
        places = "".join(f"  {frame.filename}:{frame.lineno} in {frame.name}\n" for frame in frames)
        return f"{places}{type(error).__module__}.{type(error).__qualname__}"

    def values(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = dict(getattr(record, "values", {}))
        if (exchange := known()) is not None:
            found.setdefault("request_id", exchange.request_id)
        return found


class _Json(_Plain):
    def format(self, record: logging.LogRecord) -> str:
        values = self.values(record)
        if error := self.error(record):
            values["error"] = error
        return _line(record.created, record.levelname.lower(), record.name, record.getMessage(), values)


class _Text(_Plain):
    def format(self, record: logging.LogRecord) -> str:
        made = time.strftime("%H:%M:%S", time.localtime(record.created))
        values = " ".join(f"{key}={value}" for key, value in self.values(record).items())
        error = self.error(record)
        line = f"{made} {record.levelname.lower():7s} {record.getMessage()} {values}".rstrip()
        return _one_line(line) + (f"\n{error}" if error else "")


def _line(created: float, level: str, logger: str, message: str, values: dict[str, Any]) -> str:
    seconds = int(created)
    moment = f"{_second(seconds)}.{int(1000 * (created - seconds)):03d}Z"
    line = {"time": moment, "level": level, "logger": logger, "message": message, **values}
    return orjson.dumps(line, default=str).decode()


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
