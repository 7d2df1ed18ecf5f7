"""What waits for an engine: admitted whole requests at a time, taken a batch at a time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..engine.shapes import Shape
from ..faults import BadItem, QueueFull, ServiceFault
from .costs import Costs
from .rows import Row, Submission


class Waiting(NamedTuple):
    """A row in the queue.

    Attributes:
        row: the row.
        submission: the request that waits for it.
        key: its place in the order; see `RowQueue`.
        since: when it came, on the clock of `time.monotonic`.
    """

    row: Row
    submission: Submission
    key: float
    since: float


@dataclass(frozen=True)
class Batch:
    """Rows that run together.

    Attributes:
        waiting: at most as many as the shape has.
        shape: (rows, tokens).
    """

    waiting: tuple[Waiting, ...]
    shape: Shape

    def arrays(self, *, pad_token: int, with_positions: bool) -> dict[str, np.ndarray]:
        """The inputs, int32 [B, S] (and positions [B, 1]); missing rows are filled with copies of the first."""
        ids, mask, types = inputs = np.zeros((3, *self.shape), np.int32)
        if pad_token:
            ids[:] = pad_token
        rows = [one.row for one in self.waiting]
        rows += rows[:1] * (self.shape[0] - len(rows))
        for place, row in enumerate(rows):
            count = len(row.ids)
            ids[place, :count] = row.ids
            mask[place, :count] = 1 if row.mask is None else row.mask
            if row.types is not None:
                types[place, :count] = row.types
        arrays = dict(zip(("input_ids", "attention_mask", "token_type_ids"), inputs, strict=True))
        if with_positions:
            arrays["positions"] = np.array([[row.position] for row in rows], np.int32)
        return arrays

    @property
    def tokens(self) -> int:
        """Without padding."""
        return sum(len(waiting.row) for waiting in self.waiting)


class RowQueue:
    """Rows that wait, in the order in which they shall run.

    A row's place is the time at which it came; each further row of one request counts as come when the ones before it
    would have been answered had they been alone. So a request of 32 windows does not hold up the short ones that come
    after it, nor do they hold it up for ever.

    Args:
        costs: of the shapes that may run.
        max_items: most rows that wait.
        max_tokens: most tokens that wait.
        max_seconds: most seconds of work that wait.
        on_drop: called with the reason for each request that is refused or that nobody waits for any more.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        costs: Costs,
        *,
        max_items: int,
        max_tokens: int,
        max_seconds: float,
        on_drop: Callable[[str], None] = lambda reason: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.costs = costs
        self._max_items, self._max_tokens, self._max_seconds = max_items, max_tokens, max_seconds
        self._on_drop, self._clock = on_drop, clock
        self._changed = threading.Condition()
        self._heaps: dict[int, list[tuple[float, int, Waiting]]] = {}
        self._order = itertools.count()
        self._is_woken = False
        self.items = self.tokens = 0

    @property
    def seconds(self) -> float:
        """Of work that waits, by today's costs."""
        return sum(len(heap) * self.costs.per_row(length) for length, heap in self._heaps.items())

    def submit(self, submission: Submission) -> None:
        """Take in all rows of a request, or none.

        Raises:
            BadItem: it is more than the queue ever takes.
            QueueFull: it is more than there is room for now.
            DeadlineExceeded: its time is over already.
        """
        if len(submission.rows) > self._max_items or submission.tokens > self._max_tokens:
            raise BadItem(
                f"{submission.tokens:,} tokens in {len(submission.rows)} rows: expected at most {self._max_tokens:,} "
                f"tokens in {self._max_items} rows. Send less at a time.",
                code="too_long",
            )
        with self._changed:
            now = self._clock()
            fault = submission.overdue(now)
            if fault is not None:
                self._on_drop(fault.code)
                raise fault
            patience = min(self._max_seconds, submission.call.deadline - now)
            is_full = self.items + len(submission.rows) > self._max_items
            is_full = is_full or self.tokens + submission.tokens > self._max_tokens
            if is_full or (self.items and self.seconds > patience):
                self._on_drop("queue_full")
                after = float(min(max(round(self.seconds / 2), 1), 30))
                raise QueueFull(f"{self.items} rows of {self.tokens:,} tokens wait already.", retry_after=after)
            key, last = now, submission.rows[-1]
            for row in submission.rows:
                self._push(Waiting(row, submission, key, now))
                if row is not last:
                    key += self._cost(row)
            self._changed.notify_all()

    def put_back(self, waiting: Sequence[Waiting]) -> None:
        """Rows that were taken, but not run, to the places that they had."""
        with self._changed:
            for one in waiting:
                if not one.submission.is_done:
                    self._push(one)
            self._changed.notify_all()

    def take(self) -> Batch | None:
        """The batch that is to run next: with the oldest row, in the shape that serves most work for its time.

        Requests that nobody waits for any more are dropped on the way.
        """
        with self._changed:
            while True:
                heads = {length: heap[0] for length, heap in self._heaps.items() if heap}
                if not heads:
                    return None
                first = min(heads, key=lambda length: heads[length])
                shape = self.costs.choose({length: len(self._heaps[length]) for length in heads}, first)
                if taken := self._fill(shape):
                    longest = max(len(one.row) for one in taken)
                    return Batch(tuple(taken), self.costs.trimmed(shape, len(taken), longest))

    def drop(self, submission: Submission, fault: ServiceFault) -> None:
        """Take a request's rows out and refuse it."""
        with self._changed:
            self._drop(submission, fault)

    def drop_all(self, fault: ServiceFault) -> None:
        """Refuse everything that waits."""
        with self._changed:
            for submission in {one.submission for heap in self._heaps.values() for _, _, one in heap}:
                self._drop(submission, fault)

    def wait(self, timeout: float) -> None:
        """Wait for rows, for `wake`, or so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.items or self._is_woken, timeout)
            self._is_woken = False

    def wake(self) -> None:
        """End the waiting."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def recost(self, costs: Costs) -> None:
        """Go on with the costs of a new engine, which has the same shapes."""
        with self._changed:
            self.costs = costs
            self._refill([one for heap in self._heaps.values() for _, _, one in heap])

    def _cost(self, row: Row) -> float:
        return self.costs.per_row(self.costs.length_for(len(row)))

    def _push(self, one: Waiting) -> None:
        length = self.costs.length_for(len(one.row))
        heapq.heappush(self._heaps.setdefault(length, []), (one.key, next(self._order), one))
        self.items += 1
        self.tokens += len(one.row)

    def _pop(self, length: int) -> Waiting | None:
        """The next row of a length that somebody waits for."""
        while heap := self._heaps.get(length):
            one = heap[0][2]
            fault = one.submission.overdue(self._clock())
            if fault is not None:
                self._drop(one.submission, fault)
                continue
            heapq.heappop(heap)
            self.items -= 1
            self.tokens -= len(one.row)
            return one
        return None

    def _fill(self, shape: Shape) -> list[Waiting]:
        """Rows for a batch, the longest lengths first, the oldest first of each."""
        found: list[Waiting] = []
        for length in reversed(self.costs.lengths):
            while length <= shape[1] and len(found) < shape[0] and (one := self._pop(length)) is not None:
                found.append(one)
        return found

    def _drop(self, submission: Submission, fault: ServiceFault) -> None:
        if submission.refuse(fault):
            self._on_drop(fault.code)
        self._refill([one for h in self._heaps.values() for _, _, one in h if one.submission is not submission])

    def _refill(self, waiting: Sequence[Waiting]) -> None:
        self._heaps.clear()
        self.items = self.tokens = 0
        for one in sorted(waiting, key=lambda one: one.key):
            self._push(one)
