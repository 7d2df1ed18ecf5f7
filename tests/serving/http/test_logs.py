"""Lines of the access log, which are written without records of `logging` where only the server listens."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from serving.http import logs
from serving.http.app import create_app
from serving.settings import ServerSettings
from tests.serving.fakes import FakeRepository

VALUES = {"request_id": "one", "route": "/api/v1/embed", "status": 200, "milliseconds": 1.5}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    names = (*logs.ROOTS, "waitress.queue", logs.access_log.name)
    saved = [(one, one.handlers, one.propagate, one.level) for one in map(logging.getLogger, names)]
    yield
    for one, handlers, propagate, level in saved:
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


class Listening(logging.Handler):
    """Hears every record."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_has_the_same_line_whether_or_not_somebody_else_listens() -> None:
    stream, listening = io.StringIO(), Listening()
    logs.configure(ServerSettings(log_format="json"), stream)
    logs.log_request(VALUES)
    logs.access_log.addHandler(listening)
    try:
        logs.log_request(VALUES)
    finally:
        logs.access_log.removeHandler(listening)
    short, long = lines(stream)
    assert [list(short), list(long)] == [["time", "level", "logger", "message", *VALUES]] * 2
    assert len(str(short.pop("time"))) == len(str(long.pop("time"))) == len("2026-01-02T03:04:05.678Z")
    assert short == long == {"level": "info", "logger": "bert_ms.access", "message": "request", **VALUES}
    assert [record.values for record in listening.heard] == [VALUES]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("level", "log_requests", "is_written"),
    [("info", True, True), ("debug", True, True), ("warning", True, False), ("error", True, False),
     ("info", False, False)],
)  # fmt: skip
def test_requests_are_written_where_they_and_their_level_are_asked_for(
    level: str, log_requests: bool, is_written: bool
) -> None:
    logs.configure(ServerSettings(log_format="json", log_level=level, log_requests=log_requests), io.StringIO())
    assert logs.access_log.isEnabledFor(logging.INFO) == is_written


@pytest.mark.parametrize(("level", "count"), [("info", 1), ("debug", 3)])
def test_probes_that_find_all_well_are_logged_in_debug_only(
    level: Any, count: int, repository: FakeRepository
) -> None:
    stream, settings = io.StringIO(), ServerSettings(log_format="json", log_level=level)
    logs.configure(settings, stream)
    client = create_app(settings, repository).test_client()
    for path in ("/livez", "/readyz", "/info"):
        assert client.get(path).status_code == 200
    assert len([line for line in lines(stream) if line["message"] == "request"]) == count


def test_text_for_people_goes_the_usual_way() -> None:
    stream = io.StringIO()
    logs.configure(ServerSettings(log_format="text"), stream)
    logs.log_request(VALUES)
    assert "request request_id=one route=/api/v1/embed status=200" in stream.getvalue()


def test_a_stream_that_takes_no_more_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(logging, "raiseExceptions", False)
    logs.configure(ServerSettings(log_format="json"), Full())
    logs.log_request(VALUES)
