"""bert_ms.Client against a real server: its answers, its refusals, and how it comes back after one."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import bert_ms
from bert_ms.client import ServerError
from bert_ms.client.transport import Transport
from bert_ms.errors import ConfigError, DataError
from tests.serving.process import running
from tests.support import REPOSITORY

KEY = "a-key-for-this-test"
MAX_ITEMS = 4


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server with a key, whose models live in memory."""
    pytest.importorskip("flask")
    command = ("tests.serving.wire_process", f"api_keys={KEY}", f"max_items={MAX_ITEMS}")
    with running(*command) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[bert_ms.Client]:
    with bert_ms.Client(url, api_key=KEY, retries=0) as found:
        yield found


def test_one_input_gives_one_answer_and_a_list_gives_a_list(client: bert_ms.Client) -> None:
    question = {"question": "Who?", "context": "Ada wrote it."}
    assert client.qa(question)["answers"][0]["text"] == "Ada"
    assert [one["answers"][0]["end"] for one in client.qa([question, question])] == [3, 3]
    assert client.classify("fine", top_k=1) == [{"label": "good", "score": 0.75}]
    assert len(client.classify([("a", "b"), ("c", "d")])) == 2
    assert client.classify(("a", "b")) == client.classify("a")
    assert client.ner("Ada wrote it.", aggregation="first")[0]["text"] == "Ada"
    assert client.fill_mask("the [MASK] sat")[0][0]["token_str"] == "cat"
    assert client.tokenize(["x"])[0]["tokens"][0] == "[CLS]"
    assert client.qa([]) == []


def test_vectors_are_float32_and_keep_their_bits(client: bert_ms.Client) -> None:
    one = client.embed("abc", normalize=True)
    assert one.dtype == np.float32 and one.shape == (4,) and one.flags.writeable
    several = client.embed(["abc", "abcdef"], normalize=False, dimensions=2)
    np.testing.assert_array_equal(several, np.array([[3, 3], [6, 6]], np.float32))
    assert client.embed([]).shape[0] == 0


def test_more_inputs_than_the_server_takes_go_in_several_requests(client: bert_ms.Client) -> None:
    texts = ["x" * (1 + number) for number in range(2 * MAX_ITEMS + 1)]
    np.testing.assert_array_equal(client.embed(texts, normalize=False)[:, 0], range(1, len(texts) + 1))
    assert client.similarity("source", texts) == [float(len(text)) for text in texts]
    assert client.max_items == MAX_ITEMS


def test_a_refusal_of_a_later_request_points_into_all_that_was_asked(client: bert_ms.Client) -> None:
    with pytest.raises(ServerError, match="too_long 422 at /inputs/5: 600 tokens"):
        client.ner([*"abcde", "too long", "f"])


def test_models_and_readiness(client: bert_ms.Client, url: str) -> None:
    assert {model["name"]: model["state"] for model in client.models()} == {"answers": "ready", "vectors": "ready"}
    assert client.ready()
    assert not bert_ms.Client("http://127.0.0.1:9").ready()
    with bert_ms.Client(url, api_key=KEY, model="vectors", retries=0) as vectors:
        with pytest.raises(ServerError, match="wrong_task 422 at /model: vectors does not answer qa"):
            vectors.qa({"question": "Who?", "context": "Ada"})
        assert vectors.qa({"question": "Who?", "context": "Ada"}, model="answers")["answers"]


def test_a_refusal_says_what_where_and_under_which_id(client: bert_ms.Client, url: str) -> None:
    with pytest.raises(ServerError) as caught:
        client.ner(["fine", "too long"])
    error = caught.value
    assert (error.status, error.code, error.pointer) == (422, "too_long", "/inputs/1")
    assert error.detail == "600 tokens are more than 512." and error.request_id
    with pytest.raises(ServerError, match="unknown_key 401"):
        bert_ms.Client(url, api_key="another-key-of-some-length").models()
    with pytest.raises(ServerError, match="missing_key 401"):
        bert_ms.Client(url).models()


def test_what_cannot_be_sent_is_said_before_it_is_sent(client: bert_ms.Client) -> None:
    with pytest.raises(DataError, match=r"half of a surrogate pair \('\\ud800'\)"):
        client.ner("\ud800")
    with pytest.raises(DataError, match="not JSON serializable"):
        client.ner([object()])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="inputs is int: expected one input or a list"):
        client.ner(7)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="sentences is one text"):
        client.similarity("a", "b")


@pytest.mark.parametrize(
    "wrong", ["ftp://x", "http://", "http://me@host", "http://host/?q=1", "host:99999", "[::1", 8080]
)
def test_an_address_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="expected one like http://127.0.0.1:8080"):
        bert_ms.Client(wrong)  # type: ignore[arg-type]


def test_threads_share_a_client(client: bert_ms.Client) -> None:
    found: dict[int, float] = {}

    def ask(size: int) -> None:
        found[size] = float(client.embed("x" * size, normalize=False)[0])

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {size: float(size) for size in range(1, 17)}


def test_it_needs_neither_mindspore_nor_numpy_until_vectors_are_asked_for() -> None:
    program = "import sys, bert_ms; bert_ms.Client('host'); assert not {'mindspore', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


class Scripted:
    """A server that gives the answers of a list, (status, headers, body) each; None hangs up."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes] | None):
        answered = self.answered = list[str]()
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answered.append(self.path)
                answer = left.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/behind/a/prefix"
        self.waits = list[float]()

    def __enter__(self) -> Scripted:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def transport(self, **options: float) -> Transport:
        """A way to it that notes its waits instead of waiting."""
        return Transport(url=self.url, sleep=self.waits.append, **options)  # type: ignore[arg-type]


BUSY = (429, {"Retry-After": "2"}, b'{"code": "queue_full", "detail": "full"}')
AWAY = (503, {}, b'{"code": "loading", "detail": "loading"}')
GOOD = (200, {}, b'{"results": []}')


def test_it_comes_back_after_the_time_that_the_server_names() -> None:
    with Scripted(BUSY, AWAY, AWAY, GOOD) as server:
        transport = server.transport()
        assert transport.call("POST", "/x", {}) == {"results": []}
        transport.close()
    assert server.answered == ["/behind/a/prefix/x"] * 4
    named, first, second = server.waits
    assert 2 <= named <= 2.6 and 0.4 <= first <= 0.6 and 0.8 <= second <= 1.1  # with chance added, never taken away


def test_it_gives_up_after_so_many_tries_with_what_the_server_said() -> None:
    with Scripted(BUSY, BUSY, BUSY) as server, pytest.raises(ServerError, match="queue_full 429: full"):
        server.transport(retries=1).call("POST", "/x", {})
    assert len(server.answered) == 2


def test_a_wait_beyond_the_bound_is_not_begun() -> None:
    late = (503, {"Retry-After": "3600"}, b'{"code": "draining", "detail": "going away"}')
    with Scripted(late) as server, pytest.raises(ServerError, match="draining 503"):
        server.transport(max_wait=60).call("POST", "/x", {})
    assert server.waits == []


@pytest.mark.parametrize("status", [400, 422, 500, 504])
def test_other_refusals_are_final(status: int) -> None:
    openai = b'{"error": {"message": "no", "code": "bad"}}'
    with Scripted((status, {}, openai)) as server, pytest.raises(ServerError, match=f"bad {status}: no"):
        server.transport().call("POST", "/x", {})
    assert len(server.answered) == 1


def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    with Scripted(GOOD, None, GOOD) as server:
        transport = server.transport()
        assert transport.call("POST", "/x", {}) == transport.call("POST", "/x", {})
        transport.close()
    assert len(server.answered) == 3 and server.waits == []


def test_a_server_that_is_not_there_is_tried_again_within_the_bound() -> None:
    waits: list[float] = []
    transport = Transport(url="127.0.0.1:9", retries=2, sleep=waits.append)
    with pytest.raises(ServerError, match="unreachable: http://127.0.0.1:9 cannot be reached .* is the server running"):
        transport.call("GET", "/info")
    assert len(waits) == 2


def test_an_answer_that_is_no_json_says_so() -> None:
    text = "no JSON but text/html: b'<html>'. Is the URL the server's"
    page = (200, {"Content-Type": "text/html"}, b"<html>")
    with Scripted(page) as server, pytest.raises(ServerError, match=text):
        server.transport().call("POST", "/x", {})


def test_the_page_about_it_works_as_it_is(url: str) -> None:
    page = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names = {"url": url, "key": KEY}
    for block in blocks:
        exec(block, names)


def test_every_option_of_the_server_can_be_given() -> None:
    native = pytest.importorskip("serving.http.native", reason="the server's packages are not installed")
    assert len(native.KINDS) == 7
    for name, kind in native.KINDS.items():
        parameters = inspect.signature(getattr(bert_ms.Client, name.replace("-", "_"))).parameters
        assert {*kind.options.model_fields, "model"} <= set(parameters), name
