"""Connections on which nothing happens: what they cost, and whom they keep out."""

from __future__ import annotations

import errno
import http.client
import io
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import waitress.buffers

from serving.http import polling, transport
from serving.settings import ServerSettings
from tests.serving.process import PATIENCE, receive


def application(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def serve() -> Iterator[Callable[..., transport.Server]]:
    made: list[transport.Server] = []

    def start(**settings: Any) -> transport.Server:
        made.append(transport.Server(host="127.0.0.1", port=0, settings=ServerSettings(**settings), threads=4))
        made[-1].start(application)
        return made[-1]

    yield start
    for server in made:
        server.stop(1.0)


def address(server: transport.Server) -> tuple[str, int]:
    return "127.0.0.1", int(server.effective_port)


def ask(server: transport.Server, body: bytes = b"x") -> bytes:
    connection = http.client.HTTPConnection(*address(server), timeout=PATIENCE)
    connection.request("POST", "/", body)
    found = connection.getresponse().read()
    connection.close()
    return found


@pytest.mark.skipif(not polling.is_there(), reason="the system has no epoll")
def test_connections_on_which_nothing_happens_are_not_looked_at(
    serve: Callable[..., transport.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(header_timeout=60.0, body_timeout=60.0)  # they are all looked at once a second
    idle = [socket.create_connection(address(server), timeout=PATIENCE) for _ in range(200)]
    ask(server)
    looked: list[Any] = []
    readable = transport.Channel.readable
    monkeypatch.setattr(transport.Channel, "readable", lambda self: looked.append(self) or readable(self))
    rounds: list[int] = []
    for _ in range(20):
        looked.clear()
        ask(server)
        rounds.append(len(looked))
    assert sorted(rounds)[10] < 20, rounds
    for connection in idle:
        connection.close()


def test_who_comes_when_all_places_are_taken_by_the_silent_is_let_in(serve: Callable[..., transport.Server]) -> None:
    server = serve(max_connections=16)
    idle = [socket.create_connection(address(server), timeout=PATIENCE) for _ in range(18)]
    begun = time.monotonic()
    assert ask(server, b"let me in") == b"let me in"
    assert time.monotonic() - begun < 20, "not after the time that a connection may be silent, which is 75 s"
    for connection in idle:
        connection.close()


class Full:
    """A temporary file on a full disk."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)


def test_a_body_that_the_disk_has_no_room_for_is_refused(
    serve: Callable[..., transport.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitress.buffers.TempfileBasedBuffer, "newfile", lambda self: Full())
    server = serve()
    body = b"x" * (transport.IN_MEMORY + 1000)
    with socket.create_connection(address(server), timeout=PATIENCE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = receive(connection)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 5\r\n" in answer
    assert b'"code":"no_room"' in answer
    assert ask(server) == b"x"
