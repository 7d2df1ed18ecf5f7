"""Feeding one engine: batches in, answers out to those who wait, and what to do when a batch fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

import numpy as np

from ..engine.process import BatchFailed, EngineGone, Outcome
from ..engine.shapes import Shape
from ..faults import EngineError, Unavailable
from .canary import Canary
from .queue import Batch, RowQueue, Waiting

logger = logging.getLogger(__name__)

RETRY_AFTER = 5.0


class Engine(Protocol):
    """What is fed; see `engine.process.EngineProcess`."""

    @property
    def is_alive(self) -> bool: ...

    def send(self, arrays: Mapping[str, np.ndarray], *, rows: int, timeout: float) -> None: ...

    def receive(self, *, timeout: float) -> Outcome: ...

    def ping(self, *, timeout: float) -> None: ...


class _Outputs(Mapping[str, np.ndarray]):
    """Those of one row of a batch, cut out as they are asked for: an answer takes one of several.

    Args:
        outputs: of the batch, by name.
        number: of the row.
        count: tokens of it.
        row_outputs: names of the outputs that are one a row.
    """

    __slots__ = ("_count", "_number", "_outputs", "_row_outputs")

    def __init__(
        self, outputs: Mapping[str, np.ndarray], number: int, count: int, row_outputs: Collection[str]
    ) -> None:
        self._outputs, self._number, self._count, self._row_outputs = outputs, number, count, row_outputs

    def __getitem__(self, name: str) -> np.ndarray:
        values: np.ndarray = self._outputs[name][self._number]
        return values if name in self._row_outputs else values[: self._count]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


class Poisoned(EngineGone):
    """A graph of the engine computes wrongly since it failed."""

    reason = "poisoned"


class Feeder:
    """Keeps an engine busy with what a queue holds.

    While the engine computes a batch, the answers of the one before are given out.

    Args:
        engine: warm.
        queue: of rows.
        canary: with its golden outputs.
        pad_token: that rows are filled with.
        with_positions: the network takes the place of a gap.
        row_outputs: names of the outputs that are one a row.
        watchdog_seconds: the least that an engine is waited for.
        ping_seconds: an idle engine is asked this often whether it lives.
        is_closing: whether to stop once nothing waits.
        tell: told of events; see `service.Repository`.
    """

    def __init__(
        self,
        engine: Engine,
        queue: RowQueue,
        canary: Canary,
        *,
        pad_token: int,
        with_positions: bool,
        row_outputs: tuple[str, ...],
        watchdog_seconds: float,
        ping_seconds: float,
        is_closing: Callable[[], bool],
        tell: Callable[..., None],
    ):
        self._engine, self._queue, self._canary = engine, queue, canary
        self._pad_token, self._with_positions, self._row_outputs = pad_token, with_positions, row_outputs
        self._watchdog_seconds, self._ping_seconds = watchdog_seconds, ping_seconds
        self._is_closing, self._tell = is_closing, tell
        self._flying: list[Waiting] = []  # rows that the engine has, or is about to get
        self._sent = time.monotonic()

    @property
    def inflight(self) -> int:
        """Rows that the engine works on."""
        return len(self._flying)

    def run(self) -> None:
        """Feed the engine until it is closing time and nothing waits.

        Raises:
            EngineGone: the engine died, fell silent, or computes wrongly; `refuse` has to follow.
        """
        while (batch := self._next()) is not None:
            self._send(batch)
            following: Batch | None = batch
            while following is not None:
                following = self._answer(following)

    def refuse(self, why: str) -> None:
        """Refuse the requests that the engine was working on when it went; those that wait still do."""
        fault = Unavailable(
            f"the engine had to be restarted ({why}) while it worked on this.",
            code="engine_restarting",
            retry_after=RETRY_AFTER,
        )
        for one in self._flying:
            self._queue.drop(one.submission, fault)
        self._flying = []

    def _next(self) -> Batch | None:
        """The next batch, waited for; None at closing time."""
        while True:
            if not self._engine.is_alive:
                raise EngineGone("the process has ended.")
            batch = self._queue.take()
            if batch is not None or self._is_closing():
                return batch
            self._queue.wait(self._ping_seconds)
            if time.monotonic() - self._sent >= self._ping_seconds and self._engine.is_alive:
                self._engine.ping(timeout=self._patience())
                self._sent = time.monotonic()

    def _answer(self, batch: Batch) -> Batch | None:
        """Wait for the outputs of a batch that was sent, send the next one if there is one, give the answers out."""
        try:
            outcome = self._receive()
        except BatchFailed as error:
            self._one_by_one(batch, error)
            return None
        seconds, self._flying = time.monotonic() - self._sent, []
        began = self._sent
        following = self._queue.take()
        try:
            if following is not None:
                self._send(following)
        finally:
            self._deliver(batch, outcome, began, seconds)
        return following

    def _send(self, batch: Batch) -> None:
        self._flying = list(batch.waiting)
        self._give(batch)

    def _give(self, batch: Batch) -> None:
        self._sent = time.monotonic()
        arrays = batch.arrays(pad_token=self._pad_token, with_positions=self._with_positions)
        self._engine.send(arrays, rows=len(batch.waiting), timeout=self._patience())

    def _receive(self) -> Outcome:
        return self._engine.receive(timeout=self._patience())

    def _patience(self) -> float:
        return self._queue.costs.patience(self._watchdog_seconds)

    def _deliver(self, batch: Batch, outcome: Outcome, began: float, seconds: float) -> None:
        self._queue.costs.saw(batch.shape, outcome.seconds, seconds)
        if outcome.compiled:
            self._tell("compile", shape=batch.shape)
        rows, length = batch.shape
        self._tell(
            "batch",
            rows=len(batch.waiting),
            tokens=batch.tokens,
            padded=rows * length,
            queue_seconds=max(began - one.since for one in batch.waiting),
            infer_seconds=outcome.seconds,
        )
        are_finite = all(np.isfinite(values).all() for values in outcome.outputs.values())
        told = set()
        for number, one in enumerate(batch.waiting):
            if one.submission not in told:
                told.add(one.submission)
                one.submission.infer_seconds += seconds
            outputs = _Outputs(outcome.outputs, number, len(one.row), self._row_outputs)
            bad = [] if are_finite else [name for name, values in outputs.items() if not np.isfinite(values).all()]
            if bad:
                self._fail(one, f"the network gave {', '.join(bad)} that are no finite numbers.")
            else:
                one.submission.complete(one.row, outputs)

    def _one_by_one(self, batch: Batch, error: BatchFailed) -> None:
        """Run the rows of a failed batch alone, so that one bad row fails alone; what comes after it waits again.

        Raises:
            Poisoned: a graph that failed computes wrongly now.
        """
        logger.error("a batch %s failed: %s", batch.shape, error)
        alone = self._queue.costs.alone(batch.shape[1])
        for number, one in enumerate(batch.waiting):
            self._flying = list(batch.waiting[number:])
            if one.submission.is_done:
                continue
            try:
                self._give(Batch((one,), alone))
                outcome = self._receive()
            except BatchFailed as again:
                logger.error("a row of %d tokens fails alone too: %s", len(one.row), again)
                self._fail(one, "the network failed on it.")
                self._flying = []
                self._queue.put_back(batch.waiting[number + 1 :])
                self._check(alone)
                break
            self._deliver(Batch((one,), alone), outcome, self._sent, time.monotonic() - self._sent)
        self._flying = []
        self._check(batch.shape)

    def _check(self, shape: Shape) -> None:
        """See whether a shape's graph computes what it did.

        Raises:
            Poisoned: it does not.
        """
        try:
            self._engine.send(self._canary.arrays(shape), rows=1, timeout=self._patience())
            problem = self._canary.problem(self._receive().outputs)
        except BatchFailed as error:
            problem = str(error)
        if problem is not None:
            raise Poisoned(f"shape {shape}: {problem}.")

    def _fail(self, one: Waiting, why: str) -> None:
        self._tell("error")
        self._queue.drop(one.submission, EngineError(why, index=one.row.item))
