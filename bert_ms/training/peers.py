"""Launchers of several machines telling each other how they fare, so that one worker's death ends all everywhere."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
from dataclasses import dataclass

from bert_ms.training.cluster import Cluster

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 2.0
_LOST_SECONDS = 60.0  # without a beat: the machine, or the way to it, is gone
_RETRY_SECONDS = 1.0
_LONGEST_LINE = 1000
_LINE = re.compile(r"(hello|done|failed|beat) (\d+)(?: (.*))?")


@dataclass(frozen=True)
class Failure:
    """What went wrong on another machine.

    Attributes:
        text: a sentence for the user, without its full stop.
        code: for the shell.
    """

    text: str
    code: int


class _Connection:
    """One other launcher, spoken to in lines: `hello RANK`, `beat 0`, `done 0`, `failed CODE TEXT`."""

    def __init__(self, connected: socket.socket):
        connected.setblocking(False)
        self.socket, self.rank, self.is_done = connected, -1, False
        self._buffer = b""
        self._heard = self._said = time.monotonic()

    def say(self, line: str) -> None:
        self._said = time.monotonic()
        with contextlib.suppress(OSError):
            self.socket.sendall(line.encode()[:_LONGEST_LINE].replace(b"\n", b" ") + b"\n")

    def poll(self) -> Failure | None:
        """Hear what was said; a failure if that was one, or if the other is gone without goodbye."""
        now = time.monotonic()
        if now - self._said > _BEAT_SECONDS:
            self.say("beat 0")
        try:
            received = self.socket.recv(65536)
        except BlockingIOError:
            lost = not self.is_done and now - self._heard > _LOST_SECONDS
            return self._gone(f"has not been heard of for {_LOST_SECONDS:.0f} s") if lost else None
        except OSError as error:
            return self._gone(f"cannot be reached any more ({error.strerror})")
        if not received:
            return self._gone("broke off; its launcher was killed")
        self._heard = now
        *lines, self._buffer = (self._buffer + received)[-_LONGEST_LINE * 10 :].split(b"\n")
        for line in lines:
            found = _LINE.fullmatch(line.decode("utf-8", errors="replace"))
            if not found:
                continue
            word, number, text = found.groups()
            if word == "hello":
                self.rank = int(number)
            elif word == "done":
                self.is_done = True
            elif word == "failed" and self.rank >= 0:
                return Failure(f"machine {self.rank}: {text}", int(number) or 1)
        return None

    def _gone(self, how: str) -> Failure | None:
        was_done, self.is_done = self.is_done, True
        return None if was_done or self.rank < 0 else Failure(f"machine {self.rank} {how}", 1)


class Peers:
    """The other machines' launchers: machine 0 listens one port above MindSpore's, the others connect to it.

    Where no connection comes about (a firewall, say) the run goes on without: MindSpore then notices by itself, later.

    Args:
        cluster: the machines.
        port: of MindSpore's scheduler.
    """

    def __init__(self, cluster: Cluster, port: int):
        self._cluster, self._port = cluster, port + 1
        self._connections: list[_Connection] = []
        self._listener: socket.socket | None = None
        self._next_try = 0.0
        if cluster.nodes > 1 and cluster.node_rank == 0:
            try:
                self._listener = socket.create_server((cluster.master_address, self._port))
                self._listener.setblocking(False)
            except (OSError, OverflowError) as error:
                logger.warning("cannot listen for the other machines at port %d: %s", self._port, error)

    def poll(self) -> Failure | None:
        """What went wrong elsewhere since the last call, if anything did."""
        self._meet()
        for connection in self._connections:
            failure = connection.poll()
            if failure:
                return failure
        return None

    def part(self, failure: Failure | None) -> None:
        """Tell the others how it ended here, and close."""
        for connection in self._connections:
            connection.say(f"failed {failure.code} {failure.text}" if failure else "done 0")
            connection.socket.close()
        if self._listener:
            self._listener.close()

    def _meet(self) -> None:
        if self._listener:
            with contextlib.suppress(BlockingIOError):
                self._add(self._listener.accept()[0])
        elif self._cluster.node_rank > 0 and not self._connections and time.monotonic() > self._next_try:
            self._next_try = time.monotonic() + _RETRY_SECONDS
            with contextlib.suppress(OSError, OverflowError):
                self._add(socket.create_connection((self._cluster.master_address, self._port), timeout=0.5))

    def _add(self, connected: socket.socket) -> None:
        connection = _Connection(connected)
        connection.say(f"hello {self._cluster.node_rank}")
        self._connections.append(connection)
