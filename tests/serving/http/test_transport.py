"""A real server on real sockets: slow, broken and hostile clients, limits to the byte, an end that loses nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from serving.http import transport
from serving.http.threads import Threads
from serving.settings import ServerSettings
from tests.serving.process import PATIENCE, Running, receive, receive_one, running, send, wait_until
from tests.support import REPOSITORY

LIMIT = 100_000
OPTIONS = ("tests.serving.wire_process", f"max_body_bytes={LIMIT}", "header_timeout=1", "body_timeout=2",
           "max_inflight=8", "max_header_bytes=4096")  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(*OPTIONS) as found:
        yield found


def request(
    body: bytes = b'{"inputs": "a"}', *, path: str = "/api/v1/embed", head: str = "", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
        f"Connection: close\r\n{head}\r\n"
    ).encode() + body


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer[:100]
    return int(answer.split(b" ")[1])


def problem(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert re.search(rb"X-Request-Id: [\w.-]+", head, re.IGNORECASE)
    found = json.loads(body)
    assert found["status"] == status(answer)
    return found


@pytest.mark.parametrize("more", [-1, 0])
def test_a_body_up_to_the_limit_is_taken(server: Running, more: int) -> None:
    assert status(send(server.address, request(b'{"inputs": "a"}'.ljust(LIMIT + more)))) == 200


def test_a_body_one_byte_beyond_it_is_a_413(server: Running) -> None:
    answer = send(server.address, request(b'{"inputs": "a"}'.ljust(LIMIT + 1)))
    assert problem(answer)["code"] == "body_too_large"
    assert b"Connection: close" in answer


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(server: Running) -> None:
    begun = time.monotonic()
    assert problem(send(server.address, request(b"", length=1 << 30)))["status"] == 413
    assert problem(send(server.address, request(b"", length=10**30)))["status"] == 413
    expecting = request(b"", length=1 << 30, head="Expect: 100-continue\r\n")
    answer = send(server.address, expecting)
    assert b"100 Continue" not in answer and status(answer) == 413
    assert time.monotonic() - begun < PATIENCE / 2


def test_who_goes_on_sending_still_reads_the_refusal(server: Running) -> None:
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(request(b"", length=50 * LIMIT))
        for _ in range(20):
            connection.sendall(b"x" * LIMIT)
        assert status(receive(connection)) == 413


def test_a_client_that_expects_is_told_to_go_on(server: Running) -> None:
    body = b'{"inputs": "a"}'
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(request(b"", length=len(body), head="Expect: 100-continue\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(body)
        assert status(receive(connection)) == 200


def chunked(*chunks: bytes, head: str = "") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return (
        "POST /api/v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Transfer-Encoding: chunked\r\n{head}\r\n"
    ).encode() + body


def test_a_body_in_chunks_is_read_and_limited(server: Running) -> None:
    assert status(send(server.address, chunked(b'{"inputs"', b': "a"}'))) == 200
    assert problem(send(server.address, chunked(*[b" " * 1000] * 101)))["status"] == 413


@pytest.mark.parametrize("line", [b"zz", b"-1", b"0x5", b"ffffffffffffffffff", b"5;a=\x01"])
def test_a_chunk_that_is_none_is_refused(server: Running, line: bytes) -> None:
    answer = send(server.address, chunked().replace(b"0\r\n\r\n", line + b"\r\nhello\r\n0\r\n\r\n"))
    assert status(answer) in (400, 408, 413)


SECRET = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLING = {
    "a length beside an encoding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "an encoding beside a length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 4\r\n",
    "two equal lengths": b"Content-Length: 4\r\nContent-Length: 4\r\n",
    "two lengths in one": b"Content-Length: 4, 4\r\n",
    "a length with a sign": b"Content-Length: +4\r\n",
    "a negative length": b"Content-Length: -4\r\n",
    "a length in hex": b"Content-Length: 0x4\r\n",
    "a length with a space in it": b"Content-Length: 4 4\r\n",
    "a length in other digits": "Content-Length: ٤\r\n".encode(),
    "a space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
    "a tab before the colon": b"Content-Length\t: 4\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "an encoding that is none": b"Transfer-Encoding: xchunked\r\n",
    "an encoding behind a control character": b"Transfer-Encoding: \x0bchunked\r\n",
    "an encoding in a continued line": b"Transfer-Encoding:\r\n chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "gzip": b"Transfer-Encoding: gzip, chunked\r\n",
    "two hosts": b"Host: y\r\n",
    "a line feed alone": b"X: a\nTransfer-Encoding: chunked\r\n",
    "a carriage return alone": b"X: a\rTransfer-Encoding: chunked\r\n",
    "a null": b"X\x00: a\r\n",
    "no colon": b"nonsense\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_what_two_servers_could_read_differently_is_refused_and_the_line_cut(server: Running, name: str) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: x\r\n" + SMUGGLING[name] + b"\r\n"
    answer = send(server.address, head + b"0\r\n\r\n" + SECRET)
    assert status(answer) in (400, 501)
    assert answer.count(b"HTTP/1.1 ") + answer.count(b"HTTP/1.0 ") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "line", [b"GET  /livez HTTP/1.1", b"get /livez HTTP/1.1", b"GET /li vez HTTP/1.1", b"\x16\x03\x01\x02", b"GET",
             b"GET /livez HTTP/1.1 x", b"GET http://[::1 HTTP/1.1", b"GET /livez\x00 HTTP/1.1 \x00"]
)  # fmt: skip
def test_a_first_line_that_is_none_is_refused(server: Running, line: bytes) -> None:
    answer = send(server.address, line + b"\r\nHost: x\r\n\r\n")
    assert status(answer) in (400, 404)


def test_without_a_host_it_is_a_400_but_for_http_1_0(server: Running) -> None:
    assert problem(send(server.address, b"GET /livez HTTP/1.1\r\n\r\n"))["code"] == "bad_request"
    assert status(send(server.address, b"GET /livez HTTP/1.0\r\n\r\n")) == 200


def test_an_encoding_in_http_1_0_is_refused(server: Running) -> None:
    data = b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert status(send(server.address, data)) == 400


def test_a_head_beyond_its_limit_is_a_431(server: Running) -> None:
    assert problem(send(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5000 + b"\r\n\r\n"))
    assert status(send(server.address, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")) == 431


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v2/models/vectors/infer"])
def test_each_wire_is_refused_in_its_own_form(server: Running, path: str) -> None:
    answer = send(server.address, request(b"", path=path, length=1 << 30))
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert status(answer) == 413
    assert body["error"]["code"] == "body_too_large" if path.startswith("/v1") else "body_too_large" in body["error"]


def test_a_head_or_a_body_that_comes_too_slowly_is_a_408(server: Running) -> None:
    connections = {}
    for name, begin in (("head", b"POST /api/v1/embed HTTP/1.1\r\n"), ("body", request(b'{"in', length=100))):
        connections[name] = socket.create_connection(server.address, timeout=PATIENCE)
        connections[name].sendall(begin)
    drip = time.monotonic() + 0.9
    while time.monotonic() < drip:  # a byte now and then does not help
        for connection in connections.values():
            with contextlib.suppress(OSError):  # on a slow machine it is over already
                connection.sendall(b"X")
        time.sleep(0.3)
    for connection in connections.values():
        with connection:
            found = problem(receive(connection))
            assert (found["status"], found["code"]) == (408, "request_timeout")


def test_500_slow_clients_leave_the_others_alone(server: Running) -> None:
    slow = [socket.create_connection(server.address, timeout=PATIENCE) for _ in range(500)]
    try:
        for connection in slow:
            connection.sendall(request(b"{", length=1000))
        times = []
        for _ in range(30):
            begun = time.monotonic()
            assert server.get("/livez")[0] == 200
            times.append(time.monotonic() - begun)
        assert server.post("/api/v1/embed", {"inputs": "a"})[0] == 200
        assert statistics.median(times) < 0.2
    finally:
        for connection in slow:
            connection.close()


def test_who_hangs_up_in_the_middle_is_forgotten(server: Running) -> None:
    for _ in range(20):
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            connection.sendall(request(b'{"inp', length=1000))
    assert server.post("/api/v1/embed", {"inputs": "a"})[0] == 200
    wait_until(lambda: metric(server, "bertms_inflight") == 0)


def metric(server: Running, name: str) -> float:
    text = str(server.get("/metrics", admin=True)[1])
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def test_who_hangs_up_while_it_waits_frees_its_place(server: Running) -> None:
    waiting = [socket.create_connection(server.address, timeout=PATIENCE) for _ in range(8)]
    for connection in waiting:
        connection.sendall(request(b'{"inputs": "wait"}'))
    wait_until(lambda: metric(server, "bertms_inflight") == 8)
    refused = send(server.address, request())
    assert problem(refused)["code"] == "too_many_requests"
    assert b"Retry-After: 1" in refused
    assert server.get("/livez")[0] == 200
    for connection in waiting:
        connection.close()
    wait_until(lambda: metric(server, "bertms_inflight") == 0)
    assert server.post("/api/v1/embed", {"inputs": "a"})[0] == 200
    wait_until(lambda: len([line for line in server.lines if line.get("status") == 499]) >= 8)
    gone = [line for line in server.lines if line.get("status") == 499]
    assert {(line["model"], line["code"], line["level"]) for line in gone} == {
        ("vectors", "client_closed_request", "info")
    }
    assert "internal_error" not in str(server.get("/metrics", admin=True)[1])


def test_requests_one_behind_the_other_are_answered_in_order(server: Running) -> None:
    one = request(b'{"inputs": "a"}', head="X-Request-Id: id-%d\r\n").replace(b"Connection: close\r\n", b"")
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(b"".join(one.replace(b"%d", b"%d" % i) for i in range(5)))
        answers = [receive_one_id(connection) for _ in range(1)]
    assert answers[0] == [f"id-{i}" for i in range(5)]


def receive_one_id(connection: socket.socket) -> list[str]:
    data = b""
    while data.count(b"X-Request-Id: ") < 5 or not data.endswith(b"]}"):
        part = connection.recv(65_536)
        assert part
        data += part
    return [text.decode() for text in re.findall(rb"X-Request-Id: (\S+)", data)]


ANSWERS = 40


@pytest.mark.parametrize("more", [{}, {"Connection": "close"}])
def test_an_answer_leaves_in_one_piece_and_hardly_wakes_the_loop_but_to_close(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, sent, woken = b"x" * 5000, list[int](), list[bool]()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    send_some = transport.Channel.send
    monkeypatch.setattr(
        transport.Channel, "send", lambda self, data, **how: sent.append(len(data)) or send_some(self, data, **how)
    )
    server = transport.Server(host="127.0.0.1", port=0, settings=ServerSettings(), threads=2)
    pull = server.trigger.pull_trigger
    server.trigger.pull_trigger = lambda: woken.append(True) or pull()
    server.start(application)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.effective_port), timeout=PATIENCE)
        for _ in range(ANSWERS):
            connection.request("GET", "/", headers=more)
            assert connection.getresponse().read() == body
        connection.close()
        assert len(sent) == ANSWERS and min(sent) > len(body)
        if more:
            wait_until(lambda: len(woken) == ANSWERS)
        else:  # it is woken rightly where it looked at the connection while the answer was being sent
            assert len(woken) < ANSWERS / 2
    finally:
        assert server.stop(1.0)


def test_a_server_stops_whatever_its_loop_is_doing() -> None:
    for wait in (0.0, 0.001) * 50:
        server = transport.Server(host="127.0.0.1", port=0, settings=ServerSettings(), threads=1)
        server.start(lambda environ, start_response: [])
        address = ("127.0.0.1", int(server.effective_port))
        time.sleep(wait)
        server.pull_trigger()  # the loop turns while it is stopped, and ends before it is woken for it
        assert server.stop(1.0)
        with pytest.raises(OSError):
            socket.create_connection(address, timeout=1.0)


def test_an_answer_that_comes_after_the_end_writes_to_no_file_of_others() -> None:
    server = transport.Server(host="127.0.0.1", port=0, settings=ServerSettings(), threads=2)
    asked, may_end = threading.Event(), threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        asked.set()
        assert may_end.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "1")])
        return [b"x"]

    server.start(application)
    theirs, ours = socket.socketpair()
    with theirs, ours, socket.create_connection(("127.0.0.1", server.effective_port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(PATIENCE)
        number = server.trigger.trigger
        assert not server.stop(0.0)
        os.dup2(ours.fileno(), number)  # as the system does, sooner or later, with a number that is free
        try:
            may_end.set()
            wait_until(lambda: not server.task_dispatcher.threads)
            server.pull_trigger()
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
        finally:
            os.close(number)


def test_a_connection_is_kept(server: Running) -> None:
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        for _ in range(3):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status(receive_one(connection)) == 200


def test_a_compressed_bomb_is_not_opened(server: Running) -> None:
    import gzip

    bomb = gzip.compress(b"0" * 10_000_000)
    assert status(send(server.address, request(bomb, head="Content-Encoding: gzip\r\n"))) == 415


def test_headers_of_proxies_are_not_believed(server: Running) -> None:
    head = "X-Forwarded-For: 10.9.8.7\r\nX-Request-Id: proxied\r\n"
    assert status(send(server.address, request(head=head))) == 200
    wait_until(lambda: any(line.get("request_id") == "proxied" for line in server.lines))
    (line,) = (line for line in server.lines if line.get("request_id") == "proxied")
    assert line["client"] == "127.0.0.1"


def test_nothing_went_wrong_in_all_of_it(server: Running) -> None:
    assert server.process.poll() is None
    assert [line for line in server.lines if line["level"] in ("error", "critical")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_before_the_end(number: int) -> None:
    with running("tests.serving.wire_process", "release_after=0.7", "drain_timeout=20") as server:
        answers: list[int] = []

        def ask() -> None:
            answers.append(server.post("/api/v1/embed", {"inputs": "wait"})[0])

        asking = [threading.Thread(target=ask) for _ in range(64)]
        for thread in asking:
            thread.start()
        wait_until(lambda: metric(server, "bertms_inflight") == 64)
        idle = socket.create_connection(server.address, timeout=PATIENCE)
        server.process.send_signal(number)
        wait_until(lambda: any(line["message"] == "draining" for line in server.lines))
        assert server.get("/readyz")[0] == 503
        code, body = server.post("/api/v1/embed", {"inputs": "a"})
        assert (code, body["code"]) == (503, "draining")
        assert server.process.wait(PATIENCE) == 0
        for thread in asking:
            thread.join(PATIENCE)
        assert answers == [200] * 64
        with idle:
            assert receive(idle) == b""
        assert server.lines[-1]["message"] == "stopped"


def test_what_is_not_answered_in_time_is_told_by_the_exit_code() -> None:
    with running("tests.serving.wire_process", "drain_timeout=0.2") as server:
        asking = threading.Thread(target=lambda: send(server.address, request(b'{"inputs": "wait"}')), daemon=True)
        asking.start()
        wait_until(lambda: metric(server, "bertms_inflight") == 1)
        assert server.end() == 1
        asking.join(PATIENCE)


def test_a_second_signal_ends_it_at_once_whatever_its_models_do() -> None:
    with running("tests.serving.wire_process", "drain_timeout=300", f"close_seconds={10 * PATIENCE}") as server:
        asking = threading.Thread(target=lambda: send(server.address, request(b'{"inputs": "wait"}')), daemon=True)
        asking.start()
        wait_until(lambda: metric(server, "bertms_inflight") == 1)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any(line["message"] == "draining" for line in server.lines))
        assert server.end(number=signal.SIGINT) == 128 + signal.SIGINT
        asking.join(PATIENCE)


def test_a_port_that_is_taken_is_said_so(server: Running) -> None:
    port = server.address[1]
    command = [sys.executable, "-m", "serving", "--port", str(port), "--admin-port", "0", "-q"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    expected = f"port {port} of 127.0.0.1 cannot be taken: another program has it. Choose another by --port."
    assert done.stderr == f"bert-ms: error: {expected}\n"


def test_threads_are_started_as_they_are_needed_and_no_more_than_allowed() -> None:
    class Task:
        def __init__(self) -> None:
            self.has_begun = threading.Event()

        def service(self) -> None:
            self.has_begun.set()
            go.wait(5)

    go, tasks, threads = threading.Event(), [Task() for _ in range(5)], Threads(3)
    assert not threads.threads
    for number, task in enumerate(tasks[:3], 1):
        threads.add_task(task)
        assert task.has_begun.wait(5) and len(threads.threads) == number
    for task in tasks[3:]:
        threads.add_task(task)
    assert len(threads.threads) == 3 and not tasks[3].has_begun.is_set()
    go.set()
    assert all(task.has_begun.wait(5) for task in tasks)
    threads.add_task(last := Task())
    assert last.has_begun.wait(5) and len(threads.threads) == 3, "an idle one took it"
    threads.shutdown(timeout=5)
    assert not threads.threads
