"""Clients who ask again when answered, and an engine whose batches take known times, by a clock of their own."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from serving.engine.shapes import Shape
from serving.scheduling.costs import Costs
from serving.scheduling.queue import RowQueue
from serving.scheduling.rows import Row, Submission
from serving.service import Call

_ONES = np.ones(512, np.int32)


@dataclass
class Loop:
    """A queue with its clients.

    Attributes:
        costs: what the queue thinks.
        takes: what a batch of a shape takes in truth.
        lengths: of the rows that are asked for, one after the other.
        clients: so many.
        front_seconds: from one answer of a batch to the next question.
        now: on the clock of the queue.
        ran: shape of each batch.
        waits: seconds from question to answer.
    """

    costs: Costs
    takes: Callable[[Shape], float]
    lengths: Iterator[int]
    clients: int = 32
    front_seconds: float = 0.001
    now: float = 0.0
    ran: list[Shape] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = {"max_items": 10_000, "max_tokens": 10**7, "max_seconds": 1e9}
        self.queue = RowQueue(self.costs, clock=lambda: self.now, **limits)
        self._numbers = itertools.count()
        self._coming: list[tuple[float, int]] = []
        self._ask(self.clients)

    def run(self, batches: int) -> float:
        """Rows a second over so many batches."""
        begun, rows = self.now, 0
        for _ in range(batches):
            self._admit()
            if (batch := self.queue.take()) is None:
                self.now = self._coming[0][0]
                self._admit()
                batch = self.queue.take()
            assert batch is not None
            seconds = self.takes(batch.shape)
            self.now += seconds
            self.costs.saw(batch.shape, seconds)
            self.ran.append(batch.shape)
            self.waits += [self.now - one.since for one in batch.waiting]
            self._ask(len(batch.waiting))
            rows += len(batch.waiting)
        return rows / (self.now - begun)

    def most_used(self, latest: int) -> Shape:
        """The shape of most of the latest batches."""
        return Counter(self.ran[-latest:]).most_common(1)[0][0]

    def _ask(self, count: int) -> None:
        for number in range(1, count + 1):
            heapq.heappush(self._coming, (self.now + number * self.front_seconds, next(self._numbers)))

    def _admit(self) -> None:
        while self._coming and self._coming[0][0] <= self.now:
            heapq.heappop(self._coming)
            row = _ONES[: next(self.lengths)]
            self.queue.submit(Submission([Row(row, row, row)], Call(1e12)))
