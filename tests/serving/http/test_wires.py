"""What each wire gives for what it is given."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

TEXT = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["fine", "good day"]}
IDS = {"name": "input_ids", "shape": [2, 3], "datatype": "INT64", "data": [[1, 7, 2], [1, 9, 2]]}


def test_qa_gives_answers_with_places_and_usage(client: FlaskClient) -> None:
    body = {"inputs": {"question": "who", "context": "  Ada wrote it"}}
    response = client.post("/api/v1/qa", json=body)
    answer = {"text": "Ada", "start": 2, "end": 5, "score": 0.5}
    usage = {"tokens": 3, "windows": 1, "truncated": False}
    result = {"answers": [answer], "null_score_diff": None, "usage": usage}
    assert response.json == {"model": "answers", "version": "000000000303", "results": [result]}


def test_one_input_is_answered_as_a_list_of_one(client: FlaskClient) -> None:
    alone = client.post("/api/v1/ner", json={"inputs": "Ada"}).json
    assert alone == client.post("/api/v1/ner", json={"inputs": ["Ada"]}).json
    assert len(alone["results"]) == len(alone["usage"]) == 1


def test_texts_and_pairs_are_told_apart(client: FlaskClient) -> None:
    two = client.post("/api/v1/classify", json={"inputs": ["a", "b"], "top_k": 1}).json
    one = client.post("/api/v1/classify", json={"inputs": [["a", "b"]], "top_k": 1}).json
    assert (len(two["results"]), len(one["results"])) == (2, 1)
    assert one["results"] == [[{"label": "good", "score": 0.75}]]


def test_vectors_in_base64_are_those_in_numbers(client: FlaskClient) -> None:
    body = {"inputs": ["a", "bb"], "normalize": False}
    numbers = client.post("/api/v1/embed", json=body).json["results"]
    texts = client.post("/api/v1/embed", json={**body, "encoding_format": "base64"}).json["results"]
    assert [np.frombuffer(base64.b64decode(text), "<f4").tolist() for text in texts] == numbers
    assert numbers == [[1.0] * 4, [2.0] * 4]


def test_options_reach_the_model(client: FlaskClient) -> None:
    assert len(client.post("/api/v1/embed", json={"inputs": "a", "dimensions": 2}).json["results"][0]) == 2
    assert len(client.post("/embed", json={"inputs": "a", "dimensions": 3}).json[0]) == 3


TEXTS = ["👩‍👩‍👧‍👦 x", "e\u0301 x", "ﷺ שלום", "ｆｕｌｌ width", "中文没有空格", "\u0000 null", "İstanbul",
         "[CLS] [SEP] [MASK]", "a" * 100_000]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_places_count_the_code_points_of_what_was_sent(client: FlaskClient, text: str) -> None:
    (found,) = client.post("/api/v1/ner", json={"inputs": text}).json["results"][0]
    assert text[found["start"] : found["end"]] == found["text"]


@pytest.mark.parametrize(("given", "count"), [("a", 1), (["a", "b"], 2), ([1, 7, 2], 1), ([[1, 7, 2], [1, 2]], 2)])
def test_openai_takes_texts_and_ids(client: FlaskClient, given: Any, count: int) -> None:
    found = client.post("/v1/embeddings", json={"input": given, "model": "vectors"}).json
    assert [one["index"] for one in found["data"]] == list(range(count))
    assert found["usage"] == {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    assert (found["object"], found["model"]) == ("list", "vectors")


@pytest.mark.parametrize("given", [[], [[]], [1, "a"], ["a", 1], [[1], "a"], [-1], [2**31], [1.5], [True], None, {}])
def test_openai_refuses_what_is_neither(client: FlaskClient, given: Any) -> None:
    response = client.post("/v1/embeddings", json={"input": given})
    assert response.status_code == 422
    assert response.json["error"]["param"] == "input"
    assert response.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "model", "body"),
    [("/v1/embeddings", "vectors", {"input": "a"}), ("/embed", "vectors", {"inputs": "a"}),
     ("/predict", "answers", {"inputs": "a"}), ("/api/v1/classify", "answers", {"inputs": "a"}),
     ("/api/v1/embed", "vectors", {"inputs": "a"})],
)  # fmt: skip
def test_what_is_too_long_is_cut_only_where_that_is_asked_for(
    make_client: Any, repository: Any, path: str, model: str, body: dict[str, Any]
) -> None:
    seen: list[Any] = []
    answer = repository.models[model].answer
    repository.models[model].answer = lambda kind, inputs, options, call: (
        seen.append(options.get("truncate", False)) or answer(kind, inputs, options, call)
    )
    client = make_client()
    for given, cut in (({}, False), ({"truncate": True}, True)):
        assert client.post(path, json={**body, **given}).status_code == 200
        assert seen.pop() == cut and not seen


def test_openai_says_which_input_is_at_fault(client: FlaskClient) -> None:
    error = client.post("/v1/embeddings", json={"input": ["a", ""]}).json["error"]
    assert (error["code"], error["param"]) == ("empty_input", "input")


def test_openai_lists_models(client: FlaskClient) -> None:
    found = client.get("/v1/models").json
    assert [one["id"] for one in found["data"]] == ["answers", "vectors"]
    assert client.get("/v1/models/vectors").json == found["data"][1]
    assert client.get("/v1/models/nobody").json["error"]["code"] == "unknown_model"


def infer(client: FlaskClient, model: str, **body: Any) -> Any:
    return client.post(f"/v2/models/{model}/infer", json=body)


def test_oip_gives_vectors_of_texts(client: FlaskClient) -> None:
    found = infer(client, "vectors", id="7", inputs=[TEXT], parameters={"normalize": False, "dimensions": 2}).json
    assert (found["id"], found["model_name"], found["model_version"]) == ("7", "vectors", "000000000306")
    output = {"name": "embedding", "shape": [2, 2], "datatype": "FP32", "data": [4.0, 4.0, 8.0, 8.0]}
    assert found["outputs"] == [output]


def test_oip_gives_the_networks_outputs_of_ids(client: FlaskClient) -> None:
    mask = {"name": "attention_mask", "shape": [2, 3], "datatype": "INT32", "data": [1, 1, 1, 1, 1, 0]}
    (found,) = infer(client, "answers", inputs=[IDS, mask]).json["outputs"]
    assert found == {"name": "logits", "shape": [2, 3], "datatype": "FP32", "data": [1.0, 7.0, 2.0, 1.0, 9.0, 0.0]}


def test_oip_gives_answers_labels_and_json(client: FlaskClient) -> None:
    question = {"name": "question", "shape": [1, 1], "datatype": "BYTES", "data": ["who"]}
    context = {"name": "context", "shape": [1], "datatype": "BYTES", "data": ["Ada wrote it"]}
    outputs = {one["name"]: one["data"] for one in infer(client, "answers", inputs=[question, context]).json["outputs"]}
    assert (outputs["answer"], outputs["start"], outputs["end"]) == (["Ada"], [0], [3])
    assert json.loads(outputs["results"][0])["answers"][0]["text"] == "Ada"
    labels = infer(client, "answers", inputs=[TEXT], parameters={"kind": "classify"}, outputs=[{"name": "label"}]).json
    assert labels["outputs"] == [{"name": "label", "shape": [2], "datatype": "BYTES", "data": ["good", "good"]}]


def test_oip_takes_and_gives_bytes_behind_the_json(client: FlaskClient) -> None:
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"fine", "日本".encode()))
    head = {
        "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}}],
        "parameters": {"binary_data_output": True, "normalize": False},
    }
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    response = client.post("/v2/models/vectors/infer", data=text + texts, headers=headers)
    length = int(response.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(response.data[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 32}
    assert np.frombuffer(response.data[length:], "<f4").tolist() == [4.0] * 4 + [2.0] * 4


BAD_TENSORS: dict[str, tuple[Any, str]] = {
    "a shape that overflows": ({**IDS, "shape": [2**62, 2**62]}, f"the shape has {2**124}"),
    "a shape beyond 64 bits": ({**IDS, "shape": [2**64, 1]}, "/inputs/0/shape/0"),
    "a negative shape": ({**IDS, "shape": [-1, 3]}, "/inputs/0/shape/0"),
    "no shape": ({**IDS, "shape": []}, "/inputs/0/shape"),
    "a shape of five": ({**IDS, "shape": [1, 1, 1, 2, 3]}, "/inputs/0/shape"),
    "fewer values": ({**IDS, "data": [1, 2]}, "has 2 values, but the shape has 6"),
    "nothing in it": ({**IDS, "shape": [0, 3], "data": []}, "expected 1 to 32 rows"),
    "rows of different kinds": ({**IDS, "data": [[1, 2, 3], 4, 5, 6]}, "side by side"),
    "a fraction": ({**IDS, "data": [1, 2, 3, 4, 5, 6.5]}, "is no whole number"),
    "a text": ({**IDS, "data": [1, 2, 3, 4, 5, "6"]}, "is no whole number"),
    "true": ({**IDS, "data": [1, 2, 3, 4, 5, True]}, "is no whole number"),
    "2^63": ({**IDS, "data": [1, 2, 3, 4, 5, 2**63]}, "out of the range of INT64"),
    "2^31 in INT32": ({**IDS, "datatype": "INT32", "data": [1, 2, 3, 4, 5, 2**31]}, "out of the range of INT32"),
    "-1": ({**IDS, "data": [1, 2, 3, 4, 5, -1]}, "bad_ids"),
    "an id beyond the vocabulary": ({**IDS, "data": [1, 2, 3, 4, 5, 100]}, "bad_ids"),
    "another type": ({**IDS, "datatype": "FP32"}, "/inputs/0/datatype"),
    "no data": ({key: value for key, value in IDS.items() if key != "data"}, "either data"),
    "bytes that are not there": ({**TEXT, "data": None, "parameters": {"binary_data_size": 9}}, "not a length within"),
    "a row": ({**IDS, "shape": [6], "data": [1, 2, 3, 4, 5, 6]}, "[rows, tokens]"),
    "33 rows": ({**IDS, "shape": [33, 1], "data": [1] * 33}, "33 rows"),
    "33 texts": ({**TEXT, "shape": [33], "data": ["a"] * 33}, "33 texts"),
    "another name": ({**TEXT, "name": "texts"}, "takes text, or input_ids; not texts"),
    "an empty text": ({**TEXT, "data": ["a", ""]}, "empty_input: /inputs/0/data/1"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_oip_refuses_tensors_that_are_not_what_they_say(client: FlaskClient, name: str) -> None:
    tensor, said = BAD_TENSORS[name]
    response = infer(client, "vectors", inputs=[tensor])
    assert response.status_code == 422
    assert said in response.json["error"]


@pytest.mark.parametrize("length", ["-1", "1e3", "99999", "x", "", "9" * 30])
def test_oip_refuses_a_json_length_that_cannot_be(client: FlaskClient, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    assert client.post("/v2/models/vectors/infer", data=b"{}", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "data", [b"\x04\x00\x00\x00ab", b"\x04\x00", b"\xff\xff\xff\xffab", b"\x02\x00\x00\x00\xff\xfe", b""]
)
def test_oip_refuses_bytes_that_are_no_texts(client: FlaskClient, data: bytes) -> None:
    one = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    text = json.dumps({"inputs": [one]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    assert client.post("/v2/models/vectors/infer", data=text + data, headers=headers).status_code == 422


def test_oip_describes_server_and_models(client: FlaskClient) -> None:
    assert client.get("/v2").json["name"] == "bert-ms"
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"live": True, "ready": True}
    found = client.get("/v2/models/answers").json
    assert {one["name"] for one in found["inputs"]} >= {"question", "context", "text", "input_ids"}
    assert client.get(f"/v2/models/answers/versions/{found['versions'][0]}").json == found
    assert client.get("/v2/models/answers/ready").json == {"name": "answers", "ready": True}
    assert client.get("/v2/models/answers/versions/2").status_code == 404


def test_aliases_give_bare_lists(client: FlaskClient) -> None:
    assert client.post("/embed", json={"inputs": "a", "normalize": False}).json == [[1.0] * 4]
    one = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]
    assert client.post("/predict", json={"inputs": "a"}).json == one
    assert client.post("/predict", json={"inputs": ["a", ["b", "c"]]}).json == [one, one]


def test_states_are_told(client: FlaskClient) -> None:
    assert client.get("/livez").json == {"status": "alive"}
    assert client.get("/readyz").json == {"status": "ready", "models": {"answers": "ready", "vectors": "ready"}}
    assert client.get("/health").status_code == 200
    info = client.get("/info").json
    assert [one["name"] for one in info["models"]] == ["answers", "vectors"]
    assert info["models"][0]["stats"]["engine_up"] == 1
    assert [one["dtype"] for one in info["models"]] == ["float32", "float32"]


def test_a_model_that_is_not_ready_makes_the_server_not_ready(make_client: Any, repository: Any) -> None:
    repository.models["vectors"].state = "restarting"
    client = make_client()
    for path in ("/readyz", "/health", "/v2/health/ready", "/v2/models/vectors/ready"):
        assert client.get(path).status_code == 503
    for path in ("/livez", "/v2/health/live", "/v2/models/answers/ready"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/info", "/v1/models", "/v2", "/openapi.json", "/", "/docs"])
def test_head_is_get_without_the_body(client: FlaskClient, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    assert (asked.status_code, asked.data) == (got.status_code, b"")
    assert asked.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "-a", "é", "<script>", "a;b"])
def test_a_request_id_that_is_none_is_replaced(client: FlaskClient, given: str) -> None:
    found = client.get("/livez", headers={"X-Request-Id": given.encode().decode("latin-1")}).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", found)


def test_a_request_id_comes_back(client: FlaskClient) -> None:
    given = "0af7651916cd43dd-8448.eb_211c"
    assert client.get("/livez", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    assert client.get("/nope", headers={"X-Request-Id": given}).json["request_id"] == given


def test_the_time_is_told_by_its_parts(client: FlaskClient) -> None:
    header = client.post("/api/v1/embed", json={"inputs": "a"}).headers["Server-Timing"]
    assert header == "tok;dur=1.00, queue;dur=1.00, infer;dur=1.00, post;dur=1.00"
    assert "Server-Timing" not in client.get("/livez").headers


def test_nothing_may_run_or_be_framed_or_cached(client: FlaskClient) -> None:
    headers = client.post("/api/v1/embed", json={"inputs": "a"}).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    page = client.get("/").headers["Content-Security-Policy"]
    assert "unsafe" not in page and "script-src 'self'" in page


def test_vectors_that_are_none_are_a_500(make_client: Any, repository: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.serving import fakes

    monkeypatch.setitem(fakes._RULES, "embed", lambda item, options: np.full(4, np.nan, np.float32))
    client = make_client()
    for path, key in (("/api/v1/embed", "inputs"), ("/v1/embeddings", "input"), ("/embed", "inputs")):
        assert client.post(path, json={key: "a"}).status_code == 500
    assert infer(client, "vectors", inputs=[TEXT]).status_code == 500


def test_places_are_limited(make_client: Any, repository: Any) -> None:
    from serving.http.app import create_app
    from serving.http.wire import Gate
    from serving.settings import ServerSettings

    gate = Gate(1)
    client = create_app(ServerSettings(), repository, gate=gate).test_client()
    gate.enter()
    response = client.post("/api/v1/embed", json={"inputs": "a"})
    assert (response.status_code, response.json["code"]) == (429, "too_many_requests")
    assert int(response.headers["Retry-After"]) >= 1
    assert client.get("/livez").status_code == 200
    gate.leave()
    assert client.post("/api/v1/embed", json={"inputs": "a"}).status_code == 200
    assert client.post("/api/v1/embed", json={"inputs": 1}).status_code == 422
    assert gate.count == 0
