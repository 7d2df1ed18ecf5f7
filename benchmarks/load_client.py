"""A light HTTP client for load: kept connections on one event loop, closed and open loops, one record a request."""

from __future__ import annotations

import asyncio
import contextlib
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
MOST_WAITING = 2048  # requests of an open loop at a time; what comes beyond counts as an error of the load's own


@dataclass
class Sent:
    """What became of a request: seconds from when it was due to its answer, and its status (0: no answer)."""

    seconds: float
    status: int
    timings: dict[str, float] = field(default_factory=dict)


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
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

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
            status, timings = await asyncio.wait_for(self._exchange(body), self.timeout)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            status, timings = 0, {}
        return Sent(time.perf_counter() - due, status, timings)

    async def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            await _closed(self._idle.pop()[1])

    async def _exchange(self, body: bytes) -> tuple[int, dict[str, float]]:
        while self._idle:
            try:
                return await self._on(*self._idle.pop(), body)
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
            except ConnectionError:
                pass  # the server had closed the connection that was kept: no fault of this request
        return await self._on(*await asyncio.open_connection(self.host, self.port), body)

    async def _on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> tuple[int, dict[str, float]]:
        try:
            writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            status, length = _STATUS.match(head), _LENGTH.search(head)
            if status is None or length is None:
                raise ValueError("an answer without status or length")
            await reader.readexactly(int(length[1]))
        except BaseException:
            await _closed(writer)
            raise
        if b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0"):
            await _closed(writer)
        else:
            self._idle.append((reader, writer))
        timing = _TIMING.search(head)
        parts = _PART.findall(timing[1]) if timing else []
        return int(status[1]), {name.decode(): float(value) / 1000 for name, value in parts}


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
