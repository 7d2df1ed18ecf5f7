"""Short requests in the thread that reads and writes: none waits for another one's answer."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving import create_app
from serving.http import transport, turns
from serving.http.turns import LOOK_SECONDS, MOST_AT_ONCE, Turns
from serving.http.wire import Gate
from serving.repository import ModelRepository
from serving.service import Parking
from serving.settings import ServerSettings
from serving.spec import ModelSpec
from tests.serving.fake_engine import CONFIG, World
from tests.serving.process import PATIENCE, receive, wait_until

pytest.importorskip(turns.PACKAGE)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king", "war"]
BODY = json.dumps({"inputs": {"question": "king", "context": "war king war"}}).encode()
PATH = "/api/v1/qa"


def test_others_go_on_while_one_waits() -> None:
    woken, seen, parkings = list[bool](), list[str](), list[Parking]()
    taking = Turns(lambda: woken.append(True))

    def wait(parking: Parking) -> None:
        seen.append("begins")
        parkings.append(parking)
        parking.park(time.monotonic() + PATIENCE)
        seen.append("ends")

    taking.begin(wait)
    taking.begin(lambda parking: seen.append("another"))
    assert taking.timeout(1.0) == 0.0
    taking.run()
    assert seen == ["begins", "another"] and taking.timeout(1.0) == LOOK_SECONDS
    taking.run()
    assert len(seen) == 2 and not woken, "nobody let it go on"
    other = threading.Thread(target=parkings[0].unpark)
    other.start()
    other.join(PATIENCE)
    assert woken and taking.timeout(1.0) == 0.0
    parkings[0].unpark()
    taking.run()
    assert seen[2:] == ["ends"] and taking.timeout(1.0) == 1.0 and len(woken) == 1


def test_an_answer_that_comes_before_the_waiting_ends_it() -> None:
    seen, taking = list[str](), Turns(lambda: None)

    def wait(parking: Parking) -> None:
        parking.unpark()
        parking.park(time.monotonic() + PATIENCE)
        seen.append("ends")

    taking.begin(wait)
    taking.run()
    assert seen == ["ends"]


def test_who_waits_too_long_goes_on_without_an_answer() -> None:
    seen, taking = list[str](), Turns(lambda: None)

    def wait(parking: Parking) -> None:
        parking.park(time.monotonic() + 0.01)
        seen.append("ends")

    taking.begin(wait)
    taking.run()
    assert not seen
    time.sleep(0.02 + LOOK_SECONDS)
    taking.run()
    assert seen == ["ends"]


def test_the_connections_are_looked_at_between_many_turns() -> None:
    seen, taking = list[int](), Turns(lambda: None)
    for number in range(MOST_AT_ONCE + 1):
        taking.begin(lambda parking, number=number: seen.append(number))  # type: ignore[misc]
    taking.run()
    assert len(seen) == MOST_AT_ONCE and taking.timeout(1.0) == 0.0
    taking.run()
    assert seen == list(range(MOST_AT_ONCE + 1))


def test_an_error_ends_its_own_turn_only(caplog: pytest.LogCaptureFixture) -> None:
    seen, taking = list[str](), Turns(lambda: None)
    taking.begin(lambda parking: [][0])
    taking.begin(lambda parking: seen.append("another"))
    with caplog.at_level(logging.ERROR, "bert_ms.transport"):
        taking.run()
    assert seen == ["another"] and "a request ended its turn by an error" in caplog.text


class Served:
    """A port over a model whose engine is in this process."""

    def __init__(self, folder: Path, **settings: Any):
        words = WORDS + [f"[unused{n}]" for n in range(CONFIG.vocab_size - len(WORDS))]
        (folder / "vocab.txt").write_text("\n".join(words))
        self.world, self.gate = World(), Gate(64)
        spec = ModelSpec(name="m", source=str(folder), shapes=((1, 64), (4, 64)), watchdog_seconds=PATIENCE)
        self.repository = ModelRepository([spec], start=self.world.start)
        self.repository.start()
        assert self.repository.wait_started(PATIENCE)
        given = ServerSettings(**settings)
        app = create_app(given, self.repository, gate=self.gate)
        self.port = transport.Server(host="127.0.0.1", port=0, settings=given, threads=8)
        self.port.start(app, is_short=app.is_short)
        self.address = ("127.0.0.1", int(self.port.effective_port))

    def ask(self, body: bytes = BODY, **headers: str) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        connection.request("POST", PATH, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), json.loads(answer.read())
        connection.close()
        return found

    def connect(self, count: int = 1) -> socket.socket:
        """A connection with so many requests one behind the other."""
        connection = socket.create_connection(self.address, timeout=PATIENCE)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
        for number in range(count):
            last = "Connection: close\r\n" if number == count - 1 else ""
            connection.sendall(f"{head}X-Request-Id: id-{number}\r\n{last}\r\n".encode() + BODY)
        return connection

    def close(self) -> None:
        self.world.gate.set()
        self.port.stop(PATIENCE)
        self.repository.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(**settings: Any) -> Served:
        made.append(Served(tmp_path, **settings))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_requests_that_wait_have_no_threads_and_do_not_hold_up_the_others(serve: Callable[..., Served]) -> None:
    served = serve()
    served.world.gate.clear()
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(served.ask) for _ in range(24)]
        wait_until(lambda: served.gate.count == 24)
        assert not served.port.task_dispatcher.threads
        connection = http.client.HTTPConnection(*served.address, timeout=PATIENCE)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
        served.world.gate.set()
        assert {one.result(PATIENCE)[0] for one in asked} == {200}
    assert served.gate.count == 0


def test_an_answer_is_the_same_in_turn_and_by_a_thread_and_by_flask(serve: Callable[..., Served]) -> None:
    served = serve()
    given = {"X-Request-Id": "one"}
    ways = [served.ask(**given), served.ask(BODY.ljust(5000), **given), served.ask(Accept="application/*", **given)]
    for _, headers, _ in ways:
        assert headers.pop("Date") and headers.pop("Server-Timing")
    assert ways[0] == ways[1] == ways[2]
    assert ways[0][0] == 200 and ways[0][1]["Server"] == "bert-ms"


def test_what_is_not_answered_in_time_is_a_504(serve: Callable[..., Served]) -> None:
    served = serve(request_timeout=0.2)
    served.world.gate.clear()
    begun = time.monotonic()
    status, _, body = served.ask()
    assert (status, body["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - begun < 0.2 + PATIENCE / 2
    assert served.gate.count == 0


def test_who_hangs_up_while_it_waits_frees_its_place(serve: Callable[..., Served]) -> None:
    served = serve()
    served.world.gate.clear()
    waiting = [served.connect() for _ in range(8)]
    wait_until(lambda: served.gate.count == 8)
    for connection in waiting:
        connection.close()
    time.sleep(0.1)
    served.world.gate.set()
    wait_until(lambda: served.gate.count == 0)
    assert served.ask()[0] == 200
    assert sum(rows for _, rows in served.world.batches) < 8 + 4, "those in the queue were dropped"


def test_requests_one_behind_the_other_are_answered_in_order(serve: Callable[..., Served]) -> None:
    with serve().connect(5) as connection:
        answer = receive(connection)
    at = [answer.index(b"X-Request-Id: id-%d\r\n" % number) for number in range(5)]
    assert at == sorted(at) and answer.count(b"HTTP/1.1 200 OK") == 5


def test_a_refusal_in_turn_closes_where_it_has_to(serve: Callable[..., Served]) -> None:
    served = serve()
    assert served.ask(b'{"inputs": 1}')[0] == 422
    served.repository.drain(0.0)
    status, headers, body = served.ask()
    assert (status, body["code"], headers["Connection"]) == (503, "draining", "close")


def test_without_the_package_threads_answer(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "are_there", lambda: False)
    served = serve()
    assert served.ask()[0] == 200
    assert served.port.task_dispatcher.threads
