"""Short requests in the thread that reads and writes, which goes on with others while one waits for its answer."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..service import Parking

logger = logging.getLogger("bert_ms.transport")
PACKAGE = "greenlet"
MOST_AT_ONCE = 16  # turns between two looks at the connections
LOOK_SECONDS = 0.1  # between two looks at whose time is over


def are_there() -> bool:
    """Whether the package is installed that they are made of."""
    return importlib.util.find_spec(PACKAGE) is not None


class Turns:
    """Takes turns with requests: each goes on until it waits, then the next one does, all in one thread.

    A thread for each request is woken for the request, for its answer, and each time that it has let another one go
    first in the interpreter: with short requests that takes longer than what is done between.

    Args:
        wake: ends the thread's waiting for connections; called from others.
    """

    def __init__(self, wake: Callable[[], None]):
        self.make: Callable[[Callable[[], None]], Any] = importlib.import_module(PACKAGE).greenlet
        self._wake, self._is_woken = wake, False
        self._new: deque[Callable[[Parking], None]] = deque()
        self._ready: deque[_Turn] = deque()
        self.parked: set[_Turn] = set()
        self._look_at = 0.0

    def begin(self, work: Callable[[Parking], None]) -> None:
        """Let `run` begin with a request; for its thread."""
        self._new.append(work)

    def timeout(self, usual: float) -> float:
        """Seconds that its thread may wait before it calls `run`."""
        if self._new or self._ready:
            return 0.0
        return min(usual, LOOK_SECONDS) if self.parked else usual

    def run(self) -> None:
        """Go on with what can go on."""
        self._is_woken = False
        for _ in range(MOST_AT_ONCE):
            if self._ready:
                self._ready.popleft().go_on()
            elif self._new:
                _Turn(self, self._new.popleft()).go_on()
            else:
                break
        now = time.monotonic()
        if self.parked and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            for turn in [turn for turn in self.parked if turn.until <= now]:
                turn.go_on()

    def ready(self, turn: _Turn) -> None:
        """Let `run` go on with a request that waits; from any thread."""
        self._ready.append(turn)
        if not self._is_woken:
            self._is_woken = True
            self._wake()


class _Turn:
    """One request: a `service.Parking`."""

    def __init__(self, turns: Turns, work: Callable[[Parking], None]):
        self._turns, self._work = turns, work
        self._flow: Any = turns.make(self._run)
        self._may_go_on = True
        self.until = 0.0

    def park(self, until: float) -> None:
        """See `Parking`."""
        self.until, self._may_go_on = until, True
        self._turns.parked.add(self)
        self._flow.parent.switch()

    def unpark(self) -> None:
        """See `Parking`."""
        self._turns.ready(self)

    def go_on(self) -> None:
        """Until it waits again, or ends; nothing where it does not wait."""
        if self._may_go_on:
            self._may_go_on = False
            self._turns.parked.discard(self)
            self._flow.switch()

    def _run(self) -> None:
        try:
            self._work(self)
        except Exception:
            logger.exception("a request ended its turn by an error")
