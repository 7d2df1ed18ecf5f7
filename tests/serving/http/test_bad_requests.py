"""Every endpoint refuses every kind of bad body with the status, the code and the pointer that clients rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.serving.fakes import FakeRepository

GOOD: dict[str, dict[str, Any]] = {
    "/api/v1/qa": {"inputs": [{"question": "who", "context": "Ada wrote it"}]},
    "/api/v1/classify": {"inputs": ["fine"]},
    "/api/v1/ner": {"inputs": ["Ada"]},
    "/api/v1/fill-mask": {"inputs": ["a [MASK]"]},
    "/api/v1/embed": {"inputs": ["fine"]},
    "/api/v1/similarity": {"inputs": {"source": "fine", "sentences": ["good"]}},
    "/api/v1/tokenize": {"inputs": ["fine"]},
    "/v1/embeddings": {"input": ["fine"], "model": "vectors"},
    "/v2/models/vectors/infer": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["fine"]}]},
    "/embed": {"inputs": ["fine"]},
    "/predict": {"inputs": ["fine"]},
}
NATIVE = [path for path in GOOD if path.startswith("/api/")]
LISTS = ["/api/v1/classify", "/api/v1/ner", "/api/v1/fill-mask", "/api/v1/embed", "/api/v1/tokenize", "/embed",
         "/predict"]  # fmt: skip
JSON = "application/json"

NO_JSON = {
    "empty": (b"", "invalid_json"),
    "blank": (b" \n", "invalid_json"),
    "truncated": (b'{"inputs": ["a"', "invalid_json"),
    "two values": (b"{} {}", "invalid_json"),
    "single quotes": (b"{'inputs': 'a'}", "invalid_json"),
    "comment": (b'{"inputs": "a"} // b', "invalid_json"),
    "NaN": (b'{"inputs": NaN}', "invalid_json"),
    "Infinity": (b'{"inputs": -Infinity}', "invalid_json"),
    "a number beyond all": (b'{"inputs": 1e999}', "invalid_json"),
    "a number of 5000 digits": (b'{"inputs": 1' + b"0" * 5000 + b"}", "invalid_json"),
    "a control character": (b'{"inputs": "a\x01"}', "invalid_json"),
    "a lone surrogate": (rb'{"inputs": "\ud800"}', "invalid_json"),
    "surrogates the wrong way": (rb'{"inputs": "\udc00\ud800"}', "invalid_json"),
    "bytes that are not UTF-8": (b'{"inputs": "\xff\xfe"}', "invalid_utf8"),
    "an overlong encoding": (b'{"inputs": "\xc0\xaf"}', "invalid_utf8"),
    "a surrogate in UTF-8": (b'{"inputs": "\xed\xa0\x80"}', "invalid_utf8"),
    "a byte order mark": (b'\xef\xbb\xbf{"inputs": "a"}', "invalid_utf8"),
    "UTF-16": ('{"inputs": "a"}'.encode("utf-16"), "invalid_utf8"),
    "a key twice": (b'{"inputs": "a", "inputs": "b"}', "duplicate_key"),
    "a key twice inside": (b'{"inputs": {"question": "a", "question": "b"}}', "duplicate_key"),
    "100,000 lists deep": (b"[" * 100_000, "too_deep"),
    "100,000 objects deep": (b'{"a":' * 100_000, "too_deep"),
    "34 deep": (b'{"inputs":' + b"[" * 33 + b"]" * 33 + b"}", "too_deep"),
}


def post(client: FlaskClient, path: str, body: bytes, **headers: str) -> Any:
    length = {"CONTENT_LENGTH": str(len(body))}  # the test client would leave a length of 0 out
    return client.post(path, data=body, headers={"Content-Type": JSON, **headers}, environ_overrides=length)


def code_of(path: str, body: Any) -> str:
    """The code of a refusal in the dialect of a path."""
    if path.startswith("/v1/"):
        return str(body["error"]["code"])
    if path.startswith("/v2/"):
        return str(body["error"].split(":")[0])
    return str(body["code"])


@pytest.mark.parametrize("path", GOOD)
def test_the_good_body_of_the_tables_is_answered(client: FlaskClient, path: str) -> None:
    assert client.post(path, json=GOOD[path]).status_code == 200


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_no_json_is_a_400(client: FlaskClient, path: str, name: str) -> None:
    body, code = NO_JSON[name]
    response = post(client, path, body)
    assert response.status_code == 400
    assert code_of(path, response.json) == code


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("value", [None, [], 3, "text", True, {}], ids=repr)
def test_what_is_no_request_is_a_422(client: FlaskClient, path: str, value: Any) -> None:
    response = post(client, path, json.dumps(value).encode())
    assert (response.status_code, code_of(path, response.json)) == (422, "invalid_request")


@pytest.mark.parametrize("path", GOOD)
def test_an_unknown_key_is_a_422_that_names_it(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={**GOOD[path], "inputz": 1})
    assert response.status_code == 422
    assert "/inputz" in response.text or '"inputz"' in response.text


def test_an_unknown_key_is_answered_with_the_nearest(client: FlaskClient) -> None:
    response = client.post("/api/v1/qa", json={**GOOD["/api/v1/qa"], "topk": 1})
    assert response.json["errors"] == [{"pointer": "/topk", "detail": "is not known here: did you mean top_k?"}]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
        ({"Accept": "text/html"}, 406, "not_acceptable"),
        ({"Accept": "application/json;q=0"}, 406, "not_acceptable"),
    ],
    ids=str,
)
def test_what_is_not_spoken_here_is_refused(
    client: FlaskClient, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    response = post(client, path, json.dumps(GOOD[path]).encode(), **headers)
    assert (response.status_code, code_of(path, response.json)) == (status, code)


@pytest.mark.parametrize("path", NATIVE)
def test_another_charset_is_a_415(client: FlaskClient, path: str) -> None:
    response = post(client, path, b"{}", **{"Content-Type": "application/json; charset=latin-1"})
    assert response.status_code == 415


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json, text/html;q=0.5", "APPLICATION/JSON"])
def test_what_can_be_given_is_accepted(client: FlaskClient, path: str, accept: str) -> None:
    assert client.post(path, json=GOOD[path], headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("path", GOOD)
def test_a_body_without_length_is_a_411(client: FlaskClient, path: str) -> None:
    response = client.post(path, headers={"Content-Type": JSON})
    assert (response.status_code, code_of(path, response.json)) == (411, "length_required")


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_another_method_is_a_405_that_says_which(client: FlaskClient, path: str, method: str) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert response.headers["Allow"] == "OPTIONS, POST"
    if method != "HEAD":
        assert f"the path does not know {method}: expected one of OPTIONS, POST." in response.get_data(as_text=True)


@pytest.mark.parametrize("path", GOOD)
def test_options_are_told_and_no_origin_is_allowed(client: FlaskClient, path: str) -> None:
    response = client.options(path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert sorted(response.headers["Allow"].split(", ")) == ["OPTIONS", "POST"]


@pytest.mark.parametrize("path", LISTS)
def test_more_inputs_than_the_limit_are_a_422(client: FlaskClient, path: str) -> None:
    assert client.post(path, json={"inputs": ["a"] * 32}).status_code == 200
    response = client.post(path, json={"inputs": ["a"] * 33})
    assert response.status_code == 422
    assert "has 33 inputs, the most are 32" in response.text
    assert response.json["errors"][0]["pointer"] == "/inputs"


def test_sentences_of_all_inputs_count(client: FlaskClient) -> None:
    many = {"source": "a", "sentences": ["b"] * 17}
    response = client.post("/api/v1/similarity", json={"inputs": [many, many]})
    assert response.status_code == 422
    assert "has 34 inputs" in response.text


@pytest.mark.parametrize("path", LISTS)
def test_no_inputs_are_a_422(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={"inputs": []})
    assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, "/inputs")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("item", [None, 1, 1.5, True, {}, {"text": "a"}], ids=repr)
def test_an_input_that_is_no_text_is_named_by_its_place(client: FlaskClient, path: str, item: Any) -> None:
    response = client.post(path, json={"inputs": ["a", item]})
    assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, "/inputs/1")


@pytest.mark.parametrize("path", LISTS)
def test_a_text_that_the_model_refuses_is_named_by_its_place(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={"inputs": ["a", "too long"]})
    assert (response.status_code, response.json["code"]) == (422, "too_long")
    assert response.json["errors"] == [{"pointer": "/inputs/1", "detail": "600 tokens are more than 512."}]


@pytest.mark.parametrize("path", LISTS)
def test_a_text_alone_has_no_number(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={"inputs": ""})
    assert (response.status_code, response.json["code"]) == (422, "empty_input")
    assert response.json["errors"][0]["pointer"] == "/inputs"


@pytest.mark.parametrize(
    ("path", "options", "pointer"),
    [
        ("/api/v1/qa", {"top_k": 0}, "/top_k"),
        ("/api/v1/qa", {"top_k": "3"}, "/top_k"),
        ("/api/v1/qa", {"top_k": 3.0}, "/top_k"),
        ("/api/v1/qa", {"top_k": True}, "/top_k"),
        ("/api/v1/qa", {"top_k": 2**64}, "/top_k"),
        ("/api/v1/qa", {"handle_impossible": 1}, "/handle_impossible"),
        ("/api/v1/qa", {"null_threshold": "0"}, "/null_threshold"),
        ("/api/v1/qa", {"null_threshold": 1e308}, "/null_threshold"),
        ("/api/v1/qa", {"doc_stride": 0}, "/doc_stride"),
        ("/api/v1/qa", {"inputs": {"question": "a"}}, "/inputs/context"),
        ("/api/v1/qa", {"inputs": [{"question": "a", "context": "b", "id": "c"}]}, "/inputs/0/id"),
        ("/api/v1/qa", {"inputs": [{"question": "a", "context": None}]}, "/inputs/0/context"),
        ("/api/v1/qa", {"model": "x" * 129}, "/model"),
        ("/api/v1/classify", {"activation": "tanh"}, "/activation"),
        ("/api/v1/classify", {"inputs": [["a"]]}, "/inputs/0"),
        ("/api/v1/classify", {"inputs": [["a", "b", "c"]]}, "/inputs/0"),
        ("/api/v1/classify", {"inputs": [["a", 1]]}, "/inputs/0/1"),
        ("/api/v1/ner", {"aggregation": "median"}, "/aggregation"),
        ("/api/v1/fill-mask", {"targets": []}, "/targets"),
        ("/api/v1/fill-mask", {"targets": [""]}, "/targets/0"),
        ("/api/v1/embed", {"pooling": "median"}, "/pooling"),
        ("/api/v1/embed", {"dimensions": 0}, "/dimensions"),
        ("/api/v1/embed", {"encoding_format": "hex"}, "/encoding_format"),
        ("/api/v1/similarity", {"inputs": {"source": "a"}}, "/inputs/sentences"),
        ("/api/v1/similarity", {"inputs": [{"source": "a", "sentences": "b"}]}, "/inputs/0/sentences"),
        ("/api/v1/tokenize", {"a/b~c": 1}, "/a~1b~0c"),
    ],
    ids=str,
)
def test_the_pointer_names_what_is_wrong(client: FlaskClient, path: str, options: Any, pointer: str) -> None:
    response = client.post(path, json={**GOOD[path], **options})
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    assert [one["pointer"] for one in response.json["errors"]] == [pointer]
    assert response.json["type"] == "urn:bert-ms:error:invalid_request"


def test_all_that_is_wrong_is_told_at_once(client: FlaskClient) -> None:
    response = client.post("/api/v1/qa", json={"inputs": [{"question": 1, "context": 2}], "top_k": 0, "x": 1})
    pointers = {one["pointer"] for one in response.json["errors"]}
    assert pointers == {"/inputs/0/question", "/inputs/0/context", "/top_k", "/x"}


@pytest.mark.parametrize("path", NATIVE)
def test_an_unknown_model_is_a_404(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={**GOOD[path], "model": "nobody"})
    assert (response.status_code, response.json["code"]) == (404, "unknown_model")


def test_a_model_without_the_head_is_a_422(client: FlaskClient) -> None:
    response = client.post("/api/v1/qa", json={**GOOD["/api/v1/qa"], "model": "vectors"})
    assert (response.status_code, response.json["code"]) == (422, "wrong_task")


NOWHERE = ["/", "/api", "/api/v1/", "/api/v1/QA", "/api/v1/qa/", "/api/v1/../qa", "/static/../settings.py",
           "/static/%2e%2e/settings.py", "/.env", "/metrics"]  # fmt: skip


@pytest.mark.parametrize("path", NOWHERE)
def test_paths_that_are_none_are_refused(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={})
    assert response.status_code in (404, 405)
    assert response.json["code"] in ("not_found", "method_not_allowed")


def test_an_unknown_path_is_answered_with_the_one_that_has_them_all(client: FlaskClient, make_admin: Any) -> None:
    for asked, described in ((client, "/docs"), (make_admin(), "/openapi.json")):
        assert asked.get("/nope").json["detail"] == f"there is no such path: GET {described} has them all."
        assert asked.get(described).status_code == 200


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/nope", dict), ("/v1", dict), ("/v2/nope", str), ("/v2/models/a/b", str)]
)
def test_an_unknown_path_is_refused_in_the_dialect_of_its_wire(client: FlaskClient, path: str, kind: type) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert isinstance(response.json["error"], kind)


@pytest.mark.parametrize("path", GOOD)
def test_a_body_beyond_the_limit_is_a_413(make_client: Any, path: str) -> None:
    client = make_client(max_body_bytes=1024)
    body = json.dumps(GOOD[path]).encode()
    assert post(client, path, body.ljust(1024)).status_code == 200
    response = post(client, path, body.ljust(1025))
    assert (response.status_code, code_of(path, response.json)) == (413, "body_too_large")


@pytest.mark.parametrize("path", [*LISTS, "/v1/embeddings"])
def test_what_nobody_foresaw_is_an_opaque_500(
    make_client: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    client = make_client()
    response = client.post(path, json={"input" if path.startswith("/v1") else "inputs": "crash"})
    assert (response.status_code, code_of(path, response.json)) == (500, "internal_error")
    assert "secret" not in response.text and "Runtime" not in response.text
    assert response.headers["X-Request-Id"] in response.text


def test_a_full_queue_says_when_to_come_again(make_client: Any, repository: FakeRepository) -> None:
    from serving.faults import QueueFull

    repository.models["vectors"].fault = QueueFull("512 rows wait already.", retry_after=0.2)
    client = make_client()
    for path in ("/api/v1/embed", "/v1/embeddings", "/embed", "/v2/models/vectors/infer"):
        response = client.post(path, json=GOOD[path])
        assert (response.status_code, code_of(path, response.json)) == (429, "queue_full")
        assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("code", ["loading", "draining", "engine_restarting", "engine_failed"])
def test_a_model_that_is_away_says_when_to_come_again(
    make_client: Any, repository: FakeRepository, code: str
) -> None:
    from serving.faults import Unavailable

    repository.models["vectors"].fault = Unavailable("come again.", code=code, retry_after=4.2)
    response = make_client().post("/api/v1/embed", json=GOOD["/api/v1/embed"])
    assert (response.status_code, response.json["code"], response.headers["Retry-After"]) == (503, code, "5")


@pytest.mark.parametrize("path", GOOD)
def test_time_that_is_over_is_a_504(make_client: Any, path: str) -> None:
    waits = json.loads(json.dumps(GOOD[path]).replace("fine", "wait").replace("Ada wrote it", "wait"))
    if path in ("/api/v1/ner", "/api/v1/fill-mask"):
        waits = {"inputs": ["wait"]}
    response = make_client(request_timeout=0.02).post(path, json=waits)
    assert (response.status_code, code_of(path, response.json)) == (504, "deadline_exceeded")
