"""`bert-ms serve` from end to end: real engines answer by HTTP what a pipeline answers in this process."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from bert_ms import compat
from bert_ms.hub.load import from_pretrained
from bert_ms.pipelines.text import PIPELINES, of_network
from bert_ms.tokenization import Tokenizer
from tests.serving import tiny_models
from tests.serving.process import Running, running, wait_until

pytestmark = pytest.mark.slow  # five engines start
NAMES = ("qa", "classify", "ner", "fill-mask", "embed")
PIPELINE = {"qa": "question-answering", "classify": "sequence-classification", "ner": "token-classification",
            "fill-mask": "fill-mask", "embed": "feature-extraction"}  # fmt: skip
LONGEST = tiny_models.LONGEST
TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["fine"]}
TEXTS = ["The king of France had a great army.", "one of the first was known in 1805"]
# Engines start one after the other on a machine with few cores.
START = 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    ms = compat.mindspore()
    before = ms.get_context("mode")
    compat.use_device("cpu", graph_mode=False)  # nothing to compile for a handful of rows
    root = tmp_path_factory.mktemp("served")
    for name in NAMES:
        tiny_models.save(root / name, name)
    yield root
    ms.set_context(mode=before)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    models = {name: {"source": str(folder / name), "shapes": [[1, LONGEST]]} for name in NAMES}
    (folder / "serve.yaml").write_text(yaml.safe_dump({"models": models, "threads": 1, "device": "cpu"}))
    command = ("serving", "-c", str(folder / "serve.yaml"), "--port", "0", "--admin-port", "0")
    with running(*command) as found:
        assert found.get("/livez")[0] == 200  # long before the engines are there
        wait_until(lambda: found.get("/readyz")[0] == 200, START)
        yield found


def pipeline(folder: Path, name: str, **options: Any) -> Any:
    """The same weights in this process."""
    kind = PIPELINE[name]
    network = from_pretrained(folder / name, PIPELINES[kind].task)
    options = {"max_length": LONGEST, **options}
    return of_network(kind, network, Tokenizer.from_pretrained(folder / name), **options)


def asked(server: Running, kind: str, **body: Any) -> list[Any]:
    status, reply = server.post(f"/api/v1/{kind}", body)
    assert status == 200, reply
    assert reply["model"] == kind
    return list(reply["results"])


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_questions_are_answered_as_by_the_pipeline(server: Running, folder: Path) -> None:
    inputs = [{"question": "who had an army?", "context": " ".join([text] * 12)} for text in TEXTS]
    expected = pipeline(folder, "qa", stride=16)(inputs, top_k=3, max_answer_length=10)
    found = asked(server, "qa", inputs=inputs, max_answer_len=10, doc_stride=16, handle_impossible=False)
    for item, one, other in zip(inputs, found, expected, strict=True):
        assert [a["text"] for a in one["answers"]] == [a["answer"] for a in other]
        close([a["score"] for a in one["answers"]], [a["score"] for a in other])
        assert all(item["context"][a["start"] : a["end"]] == a["text"] for a in one["answers"])
        assert one["usage"]["windows"] > 1 and not one["usage"]["truncated"]


def test_labels_are_those_of_the_pipeline(server: Running, folder: Path) -> None:
    expected = pipeline(folder, "classify")([*TEXTS, (TEXTS[0], TEXTS[1])], top_k=None)
    found = asked(server, "classify", inputs=[*TEXTS, TEXTS])
    for one, other in zip(found, expected, strict=True):
        assert [label["label"] for label in one] == [label["label"] for label in other]
        close([label["score"] for label in one], [label["score"] for label in other])


def test_entities_are_those_of_the_pipeline(server: Running, folder: Path) -> None:
    expected = pipeline(folder, "ner")(TEXTS, aggregation="simple")
    found = asked(server, "ner", inputs=TEXTS)
    assert sum(map(len, found)) > 0
    for text, one, other in zip(TEXTS, found, expected, strict=True):
        assert [(e["entity"], e["start"], e["end"]) for e in one] == [
            (e["entity_group"], e["start"], e["end"]) for e in other
        ]
        assert all(text[e["start"] : e["end"]] == e["text"] for e in one)
        close([e["score"] for e in one], [e["score"] for e in other])


def test_gaps_are_filled_as_by_the_pipeline(server: Running, folder: Path) -> None:
    text = "The [MASK] of France had a [MASK] army."
    expected = pipeline(folder, "fill-mask")(text, top_k=3)
    (found,) = asked(server, "fill-mask", inputs=text, top_k=3)
    assert [[word["token_str"] for word in gap] for gap in found] == [
        [word["token_str"] for word in gap] for gap in expected
    ]
    close([[word["score"] for word in gap] for gap in found], [[word["score"] for word in gap] for gap in expected])


def test_vectors_are_means_of_hidden_states(server: Running, folder: Path) -> None:
    states = pipeline(folder, "embed")(TEXTS)
    means = np.stack([np.asarray(one["hidden"] if isinstance(one, dict) else one).mean(0) for one in states])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    close(asked(server, "embed", inputs=TEXTS, pooling="mean"), expected)
    (text,) = asked(server, "embed", inputs=TEXTS[0], pooling="mean", encoding_format="base64")
    close(np.frombuffer(base64.b64decode(text), "<f4"), expected[0])
    openai = server.post("/v1/embeddings", {"input": ["the " * 500, *TEXTS], "model": "embed", "truncate": True})[1]
    assert [len(one["embedding"]) for one in openai["data"]] == [16] * 3


def test_ids_give_the_networks_own_outputs(server: Running, folder: Path) -> None:
    one = pipeline(folder, "classify")
    row = one.tokenizer.encode(TEXTS[0])
    tensor = {"name": "input_ids", "shape": [1, len(row)], "datatype": "INT64", "data": list(row.input_ids)}
    status, reply = server.post("/v2/models/classify/infer", {"inputs": [tensor]})
    assert status == 200, reply
    (output,) = reply["outputs"]
    assert (output["name"], output["shape"]) == ("logits", [1, 3])
    close([output["data"]], one.run([row])["logits"])


def test_tokens_are_those_of_the_tokenizer(server: Running, folder: Path) -> None:
    status, reply = server.post("/api/v1/tokenize", {"inputs": TEXTS, "model": "ner"})
    assert status == 200, reply
    expected = Tokenizer.from_pretrained(folder / "ner").encode_batch(TEXTS)
    assert [one["input_ids"] for one in reply["results"]] == [list(one.input_ids) for one in expected]


@pytest.mark.parametrize(
    ("kind", "inputs", "status", "code"),
    [
        ("classify", ["fine", "the " * 500], 422, "too_long"),
        ("classify", ["fine", ""], 422, "empty_input"),
        ("fill-mask", ["the [MASK]", "no gap"], 422, "no_mask"),
        ("similarity", {"source": "the king", "sentences": ["a king", "an army"]}, 200, None),
    ],
)
def test_inputs_are_refused_by_their_place(server: Running, kind: str, inputs: Any, status: int, code: Any) -> None:
    found, body = server.post(f"/api/v1/{kind}", {"inputs": inputs})
    assert (found, body.get("code")) == (status, code), body
    if code:
        assert body["errors"][0]["pointer"] == "/inputs/1"


@pytest.mark.parametrize(
    ("path", "body", "status", "place"),
    [
        ("/api/v1/embed", {"inputs": "a", "dimensions": 17}, 422, "/dimensions"),
        ("/api/v1/embed", {"inputs": "a", "model": "nobody"}, 404, "/model"),
        ("/api/v1/embed", {"inputs": "a", "model": "qa"}, 422, "/model"),
        ("/api/v1/qa", {"inputs": {"question": "a", "context": "b"}, "doc_stride": 64}, 422, "/doc_stride"),
        ("/api/v1/fill-mask", {"inputs": "a [MASK]", "targets": ["qqqqqqqq"]}, 422, "/targets"),
        ("/v1/embeddings", {"input": "a", "dimensions": 17}, 422, "dimensions"),
        ("/v1/embeddings", {"input": "a", "model": "nobody"}, 404, "model"),
        ("/v2/models/embed/infer", {"inputs": [TEXT], "parameters": {"dimensions": 17}}, 422,
         "bad_option: /parameters/dimensions: dimensions is 17"),
    ],
)  # fmt: skip
def test_an_option_is_refused_by_its_place(server: Running, path: str, body: Any, status: int, place: str) -> None:
    found, told = server.post(path, body)
    assert found == status
    if path.startswith("/api"):
        assert [one["pointer"] for one in told["errors"]] == [place]
    elif path.startswith("/v1"):
        assert told["error"]["param"] == place
    else:
        assert told["error"].startswith(place)


def test_ids_that_the_network_has_not_are_refused_and_harm_nobody(server: Running, folder: Path) -> None:
    size = Tokenizer.from_pretrained(folder / "classify").vocab_size
    for bad in (-1, size, 10**6, 2**63 - 1):
        tensor = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [1, bad]}
        status, body = server.post("/v2/models/classify/infer", {"inputs": [tensor]})
        assert (status, body["error"].split(":")[0]) == (422, "bad_ids")
    assert server.post("/api/v1/classify", {"inputs": "fine"})[0] == 200


def connection_to(server: Running) -> HTTPConnection:
    return HTTPConnection(*server.address, timeout=60)


def send(connection: HTTPConnection, kind: str, inputs: Any, **options: Any) -> None:
    body = json.dumps({"inputs": inputs, **options})
    connection.request("POST", f"/api/v1/{kind}", body, {"Content-Type": "application/json"})


def test_no_answer_crosses_between_64_clients_and_company_changes_none(server: Running) -> None:
    words = TEXTS[0].lower().rstrip(".").split()
    texts = [[f"{words[number % 8]} {client} {' '.join(words[: number % 9])}" for number in range(20)]
             for client in range(64)]  # fmt: skip
    together = [asked(server, "classify", inputs=some) for some in texts]

    def client(number: int) -> None:
        connection = connection_to(server)
        for text, expected in zip(texts[number], together[number], strict=True):
            send(connection, "classify", text)
            answer = connection.getresponse()
            found = json.loads(answer.read())["results"][0]
            assert answer.status == 200
            assert [one["label"] for one in found] == [one["label"] for one in expected], text
            np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=1e-4)
        connection.close()

    assert len({text for some in texts for text in some}) == 64 * 20
    scores = {round(one["score"], 4) for some in together for labels in some for one in labels}
    assert len(scores) > 64, "an answer that crossed would be seen"
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(client, range(64)))


def metric(server: Running, name: str) -> float:
    """A number, by its name with its labels."""
    text = str(server.get("/metrics", admin=True)[1])
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


@contextmanager
def frozen(server: Running) -> Iterator[None]:
    """Stop the engines while a block runs."""
    engines = [child.pid for child in psutil.Process(server.process.pid).children()]
    assert len(engines) == len(NAMES)
    for pid in engines:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in engines:
            os.kill(pid, signal.SIGCONT)


def test_who_hangs_up_in_the_queue_costs_the_engine_nothing(server: Running) -> None:
    rows, gone = 'bertms_batch_size_sum{model="embed"}', 'bertms_rejected_total{reason="client_closed_request"}'
    assert server.post("/api/v1/embed", {"inputs": "fine"})[0] == 200  # numbers of batches are there from the first on
    before = {name: metric(server, name) for name in (rows, gone)}
    clients = [connection_to(server) for _ in range(20)]
    with frozen(server):
        for client in clients:
            send(client, "embed", "fine")
        wait_until(lambda: metric(server, "bertms_inflight") == 20)
        for client in clients[:15]:
            client.close()
        assert server.get("/livez")[0] == 200  # what was closed before is seen before
    assert [client.getresponse().status for client in clients[15:]] == [200] * 5
    wait_until(lambda: metric(server, "bertms_inflight") == 0)
    assert metric(server, rows) - before[rows] <= 5 + 2, "those that were at the engine already, and those that wait"
    assert metric(server, gone) - before[gone] >= 13
    for client in clients:
        client.close()


def test_the_time_is_told_by_its_parts(server: Running) -> None:
    connection = connection_to(server)
    for kind, inputs in (("embed", "fine"), ("qa", {"question": "who?", "context": TEXTS[0]})):
        send(connection, kind, inputs)
        answer = connection.getresponse()
        answer.read()
        parts = r"tok;dur=[\d.]+, queue;dur=[\d.]+, infer;dur=[\d.]+, post;dur=[\d.]+"
        assert re.fullmatch(parts, answer.headers["Server-Timing"])
    connection.close()


def test_numbers_and_models_are_told(server: Running) -> None:
    text = str(server.get("/metrics", admin=True)[1])
    for line in ('bertms_engine_up{model="qa"} 1.0', 'bertms_compile_total{model="qa"} 0.0'):
        assert line in text
    assert 'bertms_batch_size_count{model="qa"}' in text
    info = server.get("/info")[1]
    assert {row["name"]: row["state"] for row in info["models"]} == dict.fromkeys(NAMES, "ready")
    assert all(len(row["version"]) >= 8 for row in info["models"])


def test_no_text_stands_in_the_log(server: Running) -> None:
    assert len([line for line in server.lines if line.get("message") == "request"]) > 10
    log = json.dumps(server.lines)
    assert "France" not in log and "army" not in log


def test_it_ends_in_order_with_64_requests_waiting(server: Running) -> None:
    clients = [connection_to(server) for _ in range(64)]
    with frozen(server):
        for number, client in enumerate(clients):
            send(client, "classify" if number % 2 else "embed", f"fine {number}")
        wait_until(lambda: metric(server, "bertms_inflight") == 64)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.get("/readyz")[0] == 503)
    assert [client.getresponse().status for client in clients] == [200] * 64
    assert server.process.wait(60) == 0
    for client in clients:
        client.close()
    assert "stopped" in [line["message"] for line in server.lines]
    assert [line for line in server.lines if line["level"] == "error"] == []
