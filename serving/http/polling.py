"""Waiting for connections, at a cost that does not grow with those on which nothing happens."""

from __future__ import annotations

import contextlib
import select
from collections import deque
from collections.abc import Iterable
from typing import Any

from waitress import wasyncore

READ = select.POLLIN | select.POLLPRI if hasattr(select, "poll") else 1
WRITE = select.POLLOUT if hasattr(select, "poll") else 4


def is_there() -> bool:
    """Whether the system can be told once what to wait for (epoll)."""
    return hasattr(select, "epoll")


class Connections(dict[int, Any]):
    """What waitress keeps in its map, by descriptor; the kernel is told of a change where there is one.

    Waitress asks each connection before each waiting what it waits for, and tells the kernel of all of them: with 500
    connections that takes longer than an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: deque[Any] = deque()  # which, other than a set, loses nothing between two threads
        self._told: dict[int, int] = {}  # what the kernel knows: events by descriptor
        self._epoll: Any = select.epoll() if is_there() else None

    def __setitem__(self, number: int, channel: Any) -> None:
        super().__setitem__(number, channel)
        self._changed.append(channel)

    def __delitem__(self, number: int) -> None:
        super().__delitem__(number)
        if self._told.pop(number, 0):
            with contextlib.suppress(OSError):
                self._epoll.unregister(number)

    def changed(self, channel: Any) -> None:
        """Ask a connection before the next waiting what it waits for; from any thread."""
        self._changed.append(channel)

    def all_changed(self) -> None:
        """Ask all of them."""
        self._changed.extend(list(self.values()))

    def wait(self, timeout: float, always: Iterable[Any]) -> None:
        """Wait for something to happen, at most so many seconds, and have it dealt with.

        Args:
            timeout: seconds.
            always: those that are asked each time.
        """
        if self._epoll is None:
            wasyncore.loop(timeout=timeout, use_poll=hasattr(select, "poll"), map=self, count=1)
            return
        self._changed.extend(always)
        for _ in range(len(self._changed)):  # looking may tell of more, which is for the next time
            channel = self._changed.popleft()
            number = channel._fileno
            if number is not None and self.get(number) is channel:
                with contextlib.suppress(OSError):  # another thread has closed it
                    self._tell(number, channel)
        for number, flags in self._epoll.poll(timeout):
            channel = self.get(number)
            if channel is not None:
                self._changed.append(channel)
                wasyncore.readwrite(channel, flags)

    def close(self) -> None:
        """Let the kernel forget all of it."""
        if self._epoll is not None:
            self._epoll.close()
            self._told.clear()

    def _tell(self, number: int, channel: Any) -> None:
        wanted = READ if channel.readable() else 0
        if channel.writable() and not channel.accepting:
            wanted |= WRITE
        known = self._told.get(number, 0)
        if wanted == known:
            return
        if not known:
            self._epoll.register(number, wanted)
        elif wanted:
            self._epoll.modify(number, wanted)
        else:
            self._epoll.unregister(number)
        self._told[number] = wanted
