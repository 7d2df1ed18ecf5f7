"""Log lines for machines: one JSON object each, with the request's id, never with what a request asked."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import IO, Any

import orjson

from ..settings import ServerSettings
from .exchange import known

ROOTS = ("bert_ms", "serving", "bert_ms_serving", "waitress")
access_log = logging.getLogger("bert_ms.access")


def configure(settings: ServerSettings, stream: IO[str] | None = None) -> None:
    """Send the log of the server to a stream, standard error if None."""
    handler = logging.StreamHandler(stream or sys.stderr)
    has_messages = settings.log_level == "debug"
    handler.setFormatter(_Json(has_messages) if is_json(settings, handler.stream) else _Text(has_messages))
    for name in ROOTS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(settings.log_level.upper())
    waitress = logging.getLogger("waitress")
    waitress.setLevel(max(waitress.level, logging.WARNING))  # what it says below that names paths as clients wrote them
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # waiting for a thread is not worth a line a request
    access_log.setLevel(logging.INFO if settings.log_requests else logging.CRITICAL)


def is_json(settings: ServerSettings, stream: IO[str]) -> bool:
    """Whether lines to a stream are JSON: as the settings say, or where nobody reads along."""
    return settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())


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
        made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{made}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.values(record),
        }
        if error := self.error(record):
            line["error"] = error
        return orjson.dumps(line, default=str).decode()


class _Text(_Plain):
    def format(self, record: logging.LogRecord) -> str:
        made = time.strftime("%H:%M:%S", time.localtime(record.created))
        values = " ".join(f"{key}={value}" for key, value in self.values(record).items())
        error = self.error(record)
        line = f"{made} {record.levelname.lower():7s} {record.getMessage()} {values}".rstrip()
        return _one_line(line) + (f"\n{error}" if error else "")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
