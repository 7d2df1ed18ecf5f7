"""The admin port: metrics, and models that come and go, only for who may."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from serving.http.app import create_app
from serving.http.metrics import Metrics
from serving.settings import ServerSettings
from tests.serving.checked import checked_client
from tests.serving.fakes import FakeRepository
from tests.serving.http.conftest import ADMIN_KEY

BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
# Of the design, each with the labels that a dashboard asks for.
NAMED = {
    "bertms_requests_total", "bertms_request_seconds_bucket", "bertms_queue_seconds_bucket",
    "bertms_tokenize_seconds_bucket", "bertms_infer_seconds_bucket", "bertms_batch_size_bucket",
    "bertms_batch_tokens_bucket", "bertms_padding_ratio_bucket", "bertms_queue_items", "bertms_queue_tokens",
    "bertms_inflight", "bertms_rejected_total", "bertms_compile_total", "bertms_engine_up",
    "bertms_engine_restarts_total", "bertms_model_info",
}  # fmt: skip


def test_without_a_key_numbers_are_told_and_nothing_is_changed(make_admin: Any, repository: FakeRepository) -> None:
    admin = make_admin()
    assert admin.get("/metrics").status_code == 200
    assert admin.post("/v2/repository/index").status_code == 200
    for action in ("load", "unload"):
        response = admin.post(f"/v2/repository/models/vectors/{action}")
        assert response.status_code == 403
        assert "no_admin_key" in response.json["error"]
    assert repository.loads == [] and "vectors" in repository.models


def test_with_a_key_models_come_and_go(make_admin: Any, repository: FakeRepository) -> None:
    admin = make_admin(admin_keys=[ADMIN_KEY])
    assert admin.post("/v2/repository/models/vectors/unload", headers=BEARER).json["state"] == "unloaded"
    assert admin.post("/v2/repository/models/vectors/unload", headers=BEARER).status_code == 404
    body = {"parameters": {"source": "some/folder"}}
    assert admin.post("/v2/repository/models/new/load", json=body, headers=BEARER).json["state"] == "ready"
    assert admin.post("/v2/repository/models/new/load", headers=BEARER).status_code == 200
    assert repository.loads == [("new", "some/folder"), ("new", None)]
    rows = admin.post("/v2/repository/index", json={"ready": True}, headers=BEARER).json
    assert [row["name"] for row in rows] == ["answers", "new"]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"parameters": {"config": "x"}}', b'{"parameters": 1}', b'{"x": 1}'])
def test_a_body_that_does_not_fit_changes_nothing(make_admin: Any, repository: FakeRepository, body: bytes) -> None:
    response = make_admin(admin_keys=[ADMIN_KEY]).post("/v2/repository/models/new/load", data=body, headers=BEARER)
    assert response.status_code in (400, 422)
    assert repository.loads == []


@pytest.mark.parametrize("path", ["/metrics", "/v2/repository/index", "/v2/repository/models/vectors/unload"])
def test_a_key_guards_all_but_the_states(make_admin: Any, path: str) -> None:
    admin = make_admin(admin_keys=[ADMIN_KEY])
    method = "GET" if path == "/metrics" else "POST"
    assert admin.open(path, method=method).status_code == 401
    assert admin.get("/livez").status_code == admin.get("/readyz").status_code == 200


def test_a_page_of_another_origin_is_refused(make_admin: Any) -> None:
    admin = make_admin()
    for origin in ("https://evil.example", "null", "http://localhost:81"):
        assert admin.get("/metrics", headers={"Origin": origin}).status_code == 403
    assert admin.get("/metrics", headers={"Origin": "http://localhost"}).status_code == 200


def test_without_a_key_a_name_that_others_could_give_this_machine_is_refused(make_admin: Any) -> None:
    assert make_admin().get("/metrics", base_url="http://rebound.example/").status_code == 403
    assert make_admin().get("/metrics", base_url="http://127.0.0.1:8081/").status_code == 200
    guarded = make_admin(admin_keys=[ADMIN_KEY])
    assert guarded.get("/metrics", base_url="http://server:8081/", headers=BEARER).status_code == 200


def test_it_has_nothing_of_the_data_port(make_admin: Any, make_client: Any) -> None:
    assert make_admin().post("/api/v1/embed", json={"inputs": "a"}).status_code == 404
    for path in ("/metrics", "/v2/repository/index", "/v2/repository/models/vectors/unload"):
        assert make_client().post(path).status_code == 404


@pytest.fixture
def counted(repository: FakeRepository) -> tuple[FlaskClient, Metrics]:
    metrics = Metrics(repository)
    return checked_client(create_app(ServerSettings(), repository, metrics=metrics)), metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(str(value) for value in sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_every_metric_that_the_design_names_is_there(
    counted: tuple[FlaskClient, Metrics], repository: FakeRepository
) -> None:
    client, metrics = counted
    client.post("/api/v1/embed", json={"inputs": "a"})
    for event, values in (
        ("batch", {"rows": 3, "tokens": 30, "padded": 96, "queue_seconds": 0.01, "infer_seconds": 0.02}),
        ("rejected", {"reason": "queue_full"}),
        ("engine_restart", {"reason": "died"}),
        ("compile", {"shape": (1, 32)}),
        ("state", {"state": "ready"}),
    ):
        for observer in repository.observers:
            observer(event, model="vectors", **values)
    found = samples(metrics)
    assert {name for name, _ in found} >= NAMED
    assert found["bertms_requests_total", ("200", "vectors", "embed")] == 1
    assert found["bertms_batch_size_sum", ("vectors",)] == 3
    assert found["bertms_padding_ratio_sum", ("vectors",)] == pytest.approx(1 - 30 / 96)
    assert found["bertms_rejected_total", ("queue_full",)] == 1
    assert found["bertms_engine_restarts_total", ("vectors", "died")] == 1
    assert found["bertms_compile_total", ("vectors",)] == 1
    assert found["bertms_compile_total", ("answers",)] == 0
    assert found["bertms_engine_up", ("answers",)] == 1


def test_failures_of_a_route_begin_at_0_once_it_is_asked(counted: tuple[FlaskClient, Metrics]) -> None:
    client, metrics = counted
    client.post("/api/v1/embed", json={"inputs": "a"})
    found = samples(metrics)
    for code in ("429", "500", "503", "504"):
        assert found["bertms_requests_total", (code, "vectors", "embed")] == 0


def test_what_may_happen_begins_at_0(counted: tuple[FlaskClient, Metrics], repository: FakeRepository) -> None:
    for observer in repository.observers:
        observer("state", model="later", state="loading")
    found = samples(counted[1])
    for model in ("answers", "vectors", "later"):
        assert found["bertms_compile_total", (model,)] == 0
        for reason in ("died", "unresponsive", "garbled", "poisoned"):
            assert found["bertms_engine_restarts_total", (model, reason)] == 0
    for reason in ("queue_full", "too_many_requests", "deadline_exceeded", "engine_restarting", "loading", "draining"):
        assert found["bertms_rejected_total", (reason,)] == 0


def test_what_clients_write_makes_no_label(counted: tuple[FlaskClient, Metrics]) -> None:
    client, metrics = counted
    for i in range(20):
        client.get(f"/nope{i}")
        client.post("/api/v1/embed", json={"inputs": "a", "model": f"nobody{i}"})
    found = samples(metrics)
    assert found["bertms_requests_total", ("404", "", "none")] == 20
    assert found["bertms_requests_total", ("404", "", "embed")] == 20
    assert "nobody" not in metrics.text().decode()


def test_a_model_that_goes_away_takes_its_levels_along(
    counted: tuple[FlaskClient, Metrics], repository: FakeRepository
) -> None:
    repository.unload("vectors")
    assert ("bertms_engine_up", ("vectors",)) not in samples(counted[1])


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "bert_ms")
    return caplog


def test_a_request_is_a_line_without_what_it_asked(make_client: Any, lines: pytest.LogCaptureFixture) -> None:
    text = "my own secret text"
    make_client().post(f"/api/v1/embed?{text}", json={"inputs": text}, headers={"X-Request-Id": "id-1"})
    make_client().post(f"/{text}", json={"inputs": text})
    values = [record.__dict__["values"] for record in lines.records if record.name == "bert_ms.access"]
    first, second = (one for one in values if one["route"] != "/openapi.json")
    assert (first["request_id"], first["route"], first["status"]) == ("id-1", "/api/v1/embed", 200)
    assert (first["model"], first["kind"], first["items"], first["tokens"]) == ("vectors", "embed", 1, 3)
    assert (second["route"], second["status"], second["code"]) == ("unknown", 404, "not_found")
    assert "secret" not in str([record.__dict__ for record in lines.records])


@pytest.mark.parametrize(("level", "is_told"), [("info", False), ("debug", True)])
def test_an_errors_words_stand_in_the_log_only_for_who_looks_for_them(
    make_client: Any, level: str, is_told: bool
) -> None:
    import io
    import json

    from serving.http import logs

    stream = io.StringIO()
    saved = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in logs.ROOTS}
    try:
        logs.configure(ServerSettings(log_level=level), stream)  # type: ignore[arg-type]
        make_client().post("/api/v1/embed", json={"inputs": "crash"}, headers={"X-Request-Id": "id-2"})
    finally:
        for name, (handlers, propagate) in saved.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate
            logging.getLogger(name).setLevel(logging.NOTSET)
    _, error, access = map(json.loads, stream.getvalue().splitlines())  # the first asked for the description
    assert (error["level"], error["message"], error["request_id"]) == ("error", "request failed", "id-2")
    assert "RuntimeError" in error["error"] and re.search(r"fakes\.py\W", error["error"])
    assert ("secret" in error["error"]) == is_told
    assert (access["message"], access["status"], access["code"]) == ("request", 500, "internal_error")


def test_spans_tell_where_the_time_went(repository: FakeRepository) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed: pip install 'bert-ms[otel]'")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from serving.http.tracing import Spans

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    client = checked_client(create_app(ServerSettings(), repository, tracer=Spans(provider)))
    kept.clear()
    trace = "0af7651916cd43dd8448eb211c80319c"
    client.post("/api/v1/embed", json={"inputs": "a"}, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    spans = {span.name: span for span in kept.get_finished_spans()}
    assert list(spans) == ["tok", "queue", "infer", "post", "embed"]
    assert all(f"{span.context.trace_id:032x}" == trace for span in spans.values())
    assert all(span.parent.span_id == spans["embed"].context.span_id for name, span in spans.items() if name != "embed")
    assert spans["embed"].attributes["bertms.tokens"] == 3
    assert "a" not in [str(value) for value in spans["embed"].attributes.values()]
