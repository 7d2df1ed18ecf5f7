"""A light HTTP client for load: kept connections on one event loop, closed and open loops, one record a request."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_TIMING = re.compile(rb"\r\nserver-timing:([^\r]*)", re.IGNORECASE)
_PART = re.compile(rb"(\w+);dur=([\d.]+)")
BUFFER = 64 << 10  # bytes of an answer that are read at a time; its head has to fit
MOST_WAITING = 2048  # requests of an open loop at a time; what comes beyond counts as an error of the load's own


@dataclass
class Sent:
    """What became of a request.

    Attributes:
        seconds: from when it was due to its answer.
        status: of HTTP; 0 where there was no answer.
        timings: that the server told.
        ended: when that was, on the clock of `time.perf_counter`.
    """

    seconds: float
    status: int
    timings: dict[str, float] = field(default_factory=dict)
    ended: float = 0.0


class Load:
    """Load on one route of one server.

    Args:
        url: of the server.
        path: of the route.
        key: API key, if the server wants one.
        timeout: seconds after which a request counts as unanswered.
    """

    def __init__(self, url: str, path: str, *, key: str | None = None, timeout: float = 60.0):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"url is {url!r}: expected http://host:port")
        self.host, self.port, self.timeout = parts.hostname, parts.port or 80, timeout
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        self._head = (
            f"POST {parts.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._idle: list[_Connection] = []

    async def closed(self, bodies: Iterator[bytes], clients: int, seconds: float) -> list[Sent]:
        """So many clients, each of which asks again as soon as it is answered."""
        sent: list[Sent] = []
        end = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                sent.append(await self.send(next(bodies), time.perf_counter()))

        await asyncio.gather(*(client() for _ in range(clients)))
        await self.close()
        return sent

    async def open(self, bodies: Iterator[bytes], rate: float, seconds: float, seed: int = 0) -> list[Sent]:
        """Requests at random moments, so many a second on average, whether or not earlier ones are answered.

        Time is counted from the moment at which a request was due, so that a stalled server is not spared.
        """
        rng, sent, tasks = random.Random(seed), [], set()
        begun = due = time.perf_counter()
        while (due := due + rng.expovariate(rate)) < begun + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if len(tasks) >= MOST_WAITING:
                sent.append(Sent(0.0, 0))
                continue
            task = asyncio.create_task(self.send(next(bodies), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda done: sent.append(done.result()))
        while tasks:
            await asyncio.wait(set(tasks))
        await asyncio.sleep(0)  # the last callbacks
        await self.close()
        return sent

    async def send(self, body: bytes, due: float) -> Sent:
        """One request."""
        try:
            status, timings = await self._exchange(body)
        except (OSError, ValueError):
            status, timings = 0, {}
        now = time.perf_counter()
        return Sent(now - due, status, timings, now)

    async def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)

    async def _exchange(self, body: bytes) -> tuple[int, dict[str, float]]:
        request = b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(connection, request)
            except _Stale:
                pass  # the server had closed the connection that was kept: no fault of this request
        connecting = asyncio.get_running_loop().create_connection(_Connection, self.host, self.port)
        return await self._on((await asyncio.wait_for(connecting, self.timeout))[1], request)

    async def _on(self, connection: _Connection, request: bytes) -> tuple[int, dict[str, float]]:
        try:
            status, head = await connection.ask(request, self.timeout)
        except BaseException:
            connection.close()
            raise
        if b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0"):
            connection.close()
        else:
            self._idle.append(connection)
        timing = _TIMING.search(head)
        parts = _PART.findall(timing[1]) if timing else []
        return status, {name.decode(): float(value) / 1000 for name, value in parts}


class _Stale(ConnectionError):
    """The connection was closed before anything of an answer came."""


class _Connection(asyncio.BufferedProtocol):
    """One request after the other; of an answer only as much is looked at as tells where it ends.

    What a client computes on the machine of the server is time that the server has not: no streams, one buffer for all
    answers, and one timer for all requests.
    """

    def __init__(self) -> None:
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer, self._filled, self._size = bytearray(BUFFER), 0, 0
        self._until, self._watch = 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._loop = transport, asyncio.get_running_loop()

    async def ask(self, request: bytes, timeout: float) -> tuple[int, bytes]:
        """Status and head of the answer to a request.

        Raises:
            _Stale: the server has closed the connection.
            OSError: it did so in the middle of the answer, or did not answer in time.
            ValueError: the answer has no status or length, or a head that is too long.
        """
        if self._transport.is_closing():
            raise _Stale
        self._answer, self._filled, self._size = self._loop.create_future(), 0, 0
        self._until = self._loop.time() + timeout
        if not self._watch:
            self._look()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it."""
        self._transport.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        # of what comes behind the head nothing is kept: it may be larger than the buffer
        return memoryview(self._buffer)[0 if self._size else self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if not self._size and not self._read_head():
            return
        if self._filled >= self._size and self._answer is not None and not self._answer.done():
            self._answer.set_result((self._status, self._head))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionError("the answer broke off") if self._filled else _Stale())

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            if self._filled == BUFFER:
                self._fail(ValueError("a head that is too long"))
            return False
        self._head = bytes(self._buffer[: end + 2])
        status, length = _STATUS.match(self._head), _LENGTH.search(self._head)
        if status is None or length is None:
            self._fail(ValueError("an answer without status or length"))
            return False
        self._status, self._size = int(status[1]), end + 4 + int(length[1])
        return True

    def _look(self) -> None:
        """End a request whose time is over, and look again when that of the one after it may be."""
        is_asked = self._answer is not None and not self._answer.done()
        self._watch = is_asked and not self._transport.is_closing()
        if is_asked and self._loop.time() >= self._until:
            self._fail(TimeoutError("no answer in time"))
        elif self._watch:
            self._loop.call_at(self._until, self._look)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
