"""Requests that go the short way are answered as by Flask's way, whatever comes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving import create_app
from serving.faults import QueueFull, Unavailable
from serving.http.metrics import Metrics
from serving.settings import ServerSettings
from tests.serving.checked import checked_client
from tests.serving.fakes import FakeRepository, two_models

ID = {"X-Request-Id": "one-and-the-same"}
GOOD: list[tuple[str, Any]] = [
    ("/api/v1/embed", {"inputs": ["a", "bb"], "encoding_format": "base64"}),
    ("/api/v1/classify", {"inputs": ["a", ["b", "c"]], "top_k": 1}),
    ("/api/v1/qa", {"inputs": {"question": "q", "context": "the passage"}}),
    ("/api/v1/ner", {"inputs": "one two"}),
    ("/api/v1/similarity", {"inputs": {"source": "a", "sentences": ["b", "cc"]}}),
    ("/v1/embeddings", {"input": "a text", "model": "vectors"}),
    ("/embed", {"inputs": "abc"}),
    ("/predict", {"inputs": "abc"}),
]
BAD: list[tuple[str, Any]] = [
    ("/api/v1/embed", {"inputs": ["a", ""]}),
    ("/api/v1/embed", {"inputs": "crash"}),
    ("/api/v1/embed", {"inputs": "a", "inptus": 1}),
    ("/api/v1/embed", b'{"inputs": "a", "inputs": "b"}'),
    ("/api/v1/embed", b'{"inputs": "\\"", "inputs": "b"}'),
    ("/api/v1/embed", b'{"inputs": "\\u0022", "inputs": "b"}'),
    ("/api/v1/embed", b'{"inputs": "a", "model": {"a": 1, "a": 2}}'),
    ("/api/v1/embed", b"{"),
    ("/api/v1/embed", b""),
    ("/api/v1/embed", {"inputs": "a", "model": "nobody"}),
    ("/api/v1/qa", {"inputs": {"question": "q", "context": ""}}),
    ("/v1/embeddings", {"input": ["too long"]}),
]


@pytest.fixture
def both(repository: FakeRepository) -> Callable[..., tuple[Any, Any]]:
    """Asks an application the short way, then the same application without one."""
    app = create_app(ServerSettings(api_keys=("a-key-of-the-data-port",)), repository)
    client = checked_client(app)

    def ask(path: str, body: Any, **headers: str) -> tuple[Any, Any]:
        given: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        sent = {**ID, "Authorization": "Bearer a-key-of-the-data-port", **headers}
        short = client.post(path, headers=sent, content_type="application/json", **given)
        lane, app.lane = app.lane, None
        try:
            return short, client.post(path, headers=sent, content_type="application/json", **given)
        finally:
            app.lane = lane

    return ask


def same(short: Any, long: Any) -> None:
    assert (short.status, short.data) == (long.status, long.data)
    own = {name: value for name, value in short.headers.items() if name != "Server-Timing"}
    assert own == {name: value for name, value in long.headers.items() if name != "Server-Timing"}
    assert ("Server-Timing" in short.headers) == ("Server-Timing" in long.headers)


@pytest.mark.parametrize(("path", "body"), GOOD)
def test_an_answer_is_the_same_both_ways(both: Any, path: str, body: Any) -> None:
    short, long = both(path, body)
    assert short.status_code == 200
    same(short, long)


@pytest.mark.parametrize(("path", "body"), BAD)
def test_a_refusal_is_the_same_both_ways(both: Any, path: str, body: Any) -> None:
    short, long = both(path, body)
    assert short.status_code >= 400
    same(short, long)


@pytest.mark.parametrize("key", ["", "Bearer wrong", "Basic a-key-of-the-data-port"])
def test_keys_guard_the_short_way_too(both: Any, key: str) -> None:
    short, long = both("/api/v1/embed", {"inputs": "a"}, Authorization=key)
    assert short.status_code == 401
    same(short, long)


@pytest.mark.parametrize(
    "fault", [QueueFull("full.", retry_after=3.2), Unavailable("away.", code="engine_restarting", retry_after=5.0)]
)
def test_what_a_model_refuses_is_the_same_both_ways(both: Any, repository: FakeRepository, fault: Any) -> None:
    repository.models["vectors"].fault = fault
    same(*both("/api/v1/embed", {"inputs": "a"}))


@pytest.mark.parametrize(
    ("headers", "is_short"),
    [
        ({}, True),
        ({"CONTENT_TYPE": "application/json; charset=utf-8"}, True),
        ({"CONTENT_TYPE": "application/json; charset=latin-1"}, False),
        ({"CONTENT_TYPE": "text/plain"}, False),
        ({"HTTP_ACCEPT": "*/*"}, True),
        ({"HTTP_ACCEPT": "text/html"}, False),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, False),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, False),
        ({"CONTENT_LENGTH": ""}, False),
        ({"CONTENT_LENGTH": "-1"}, False),
        ({"CONTENT_LENGTH": "\u00b2"}, False),
        ({"CONTENT_LENGTH": "9" * 30}, False),
        ({"CONTENT_LENGTH": str(2 * 1024 * 1024)}, True),
        ({"CONTENT_LENGTH": str(2 * 1024 * 1024 + 1)}, False),
        ({"REQUEST_METHOD": "GET"}, False),
        ({"PATH_INFO": "/api/v1/embed/"}, False),
        ({"PATH_INFO": "/v2/models/vectors/infer"}, False),
        ({"PATH_INFO": "/livez"}, False),
        ({"SCRIPT_NAME": "/below"}, False),
    ],
)
def test_only_plain_requests_go_the_short_way(client: FlaskClient, headers: dict[str, str], is_short: bool) -> None:
    environ = {
        "PATH_INFO": "/api/v1/embed", "REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "2", **headers,
    }  # fmt: skip
    assert (client.application.lane.operation(environ) is not None) == is_short


def test_a_place_in_flight_is_given_back_whatever_happens() -> None:
    client = checked_client(create_app(ServerSettings(max_inflight=1), two_models()))
    for text in ("a", "", "crash", "a"):
        status = client.post("/api/v1/embed", json={"inputs": text}).status_code
        assert status != 429
    assert status == 200


def test_requests_are_counted_both_ways() -> None:
    models = two_models()
    metrics = Metrics(models)
    client = checked_client(create_app(ServerSettings(), models, metrics=metrics))
    client.post("/api/v1/embed", json={"inputs": "a"})
    client.post("/api/v1/embed", json={"inputs": "a"}, headers={"Accept": "application/*"})
    client.post("/api/v1/embed", json={"inputs": ""})
    counted = metrics.text().decode()
    assert 'bertms_requests_total{code="200",model="vectors",task="embed"} 2.0' in counted
    assert 'bertms_requests_total{code="422",model="vectors",task="embed"} 1.0' in counted
    assert 'bertms_tokenize_seconds_count{model="vectors",task="embed"}' in counted
