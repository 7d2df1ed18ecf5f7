"""Showing how a run goes on: one live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

T = TypeVar("T")

_RECENT_STEPS = 100  # with length buckets, single steps differ too much to tell the speed from
_BAR = "{desc}{percentage:3.0f}% |{bar:30}| {n}/{total}{postfix}"
_REDRAW_SECONDS = 0.1


class ProgressReporter:
    """Tells loss, learning rate, speed and time left while a run goes on.

    Time spent compiling (the first step of each new shape), evaluating and saving is kept apart from time spent
    training, so that neither speed nor time left is distorted by it. Use it as a context manager:

        with ProgressReporter(total_steps=640, start_step=120) as progress:
            for step, batch in ...:
                if shape_is_new:
                    progress.compiling(batch.shape)
                loss = train_step(batch)
                progress.step(step, loss=loss, learning_rate=rate, samples=16)
                with progress.apart("saving"):
                    save()
                for batch in progress.evaluating(batches, total=40):
                    ...

    Args:
        total_steps: optimiser steps of the whole run.
        start_step: steps done before, when a run is resumed.
        stream: where to show it; None takes sys.stderr.
        enabled: False shows nothing and still measures (workers of rank 1 and above).
        plain_seconds: least time between two plain lines; the first and the last step are always told.
        clock: seconds that only ever grow; for tests.

    Attributes:
        train_seconds: in steps whose shape was compiled before.
        compile_seconds: in steps that compiled.
        apart_seconds: by what was done in `apart`, "evaluating" among them.
        samples: trained on in this process, those of compiling steps included.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        start_step: int = 0,
        stream: TextIO | None = None,
        enabled: bool = True,
        plain_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total, self._step = total_steps, start_step
        self._stream = sys.stderr if stream is None else stream
        self._enabled = enabled
        self._is_live = enabled and self._stream.isatty()
        self._plain_seconds, self._clock = plain_seconds, clock
        self._recent: deque[tuple[int, float, int]] = deque(maxlen=_RECENT_STEPS)  # samples, seconds, steps
        self._mark = clock()
        self._told_at: float | None = None
        self._is_compiling = False
        self._loss: float | None = None
        self._bar: tqdm | None = None
        self._stack = contextlib.ExitStack()
        self.train_seconds = 0.0
        self.compile_seconds = 0.0
        self.apart_seconds: dict[str, float] = {}
        self.samples = 0

    def __enter__(self) -> ProgressReporter:
        if self._is_live:
            self._stack.enter_context(logging_redirect_tqdm())
            self._bar = tqdm(
                total=self._total,
                initial=self._step,
                desc="train ",
                file=self._stream,
                dynamic_ncols=True,
                bar_format=_BAR,
            )
        self._mark = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def compiling(self, shape: Sequence[int]) -> None:
        """Say that the next step is the first of a new shape, and therefore compiles.

        Args:
            shape: of the batch, for example (16, 128).
        """
        self._is_compiling = True
        text = f"compiling the train step for {' x '.join(map(str, shape))} (once for each shape)"
        if self._bar is not None:
            self._show(text)
        else:
            self.message(text)

    def step(
        self,
        step: int,
        *,
        samples: int,
        loss: float | None = None,
        learning_rate: float | None = None,
        epoch: float | None = None,
    ) -> None:
        """Count one optimiser step as done.

        Args:
            step: steps done in the whole run, this one included.
            samples: rows trained on since the last call, of all workers.
            loss: of this step; None keeps showing the last one known.
            learning_rate: of this step.
            epoch: epochs done, as a fraction.
        """
        now = self._clock()
        seconds, steps = now - self._mark, max(step - self._step, 1)
        self._mark = now
        self._step = step
        self.samples += samples
        if self._is_compiling:
            self.compile_seconds += seconds
            self._is_compiling = False
        else:
            self.train_seconds += seconds
            self._recent.append((samples, seconds, steps))
        self._loss = self._loss if loss is None else loss
        self._tell(self._describe(learning_rate, epoch), now)

    @property
    def samples_per_second(self) -> float | None:
        """Speed over the last hundred steps that did not compile; None before there is one."""
        seconds = sum(entry[1] for entry in self._recent)
        return sum(entry[0] for entry in self._recent) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time that the remaining steps will take at this speed, without evaluations and saves; None if unknown."""
        steps = sum(entry[2] for entry in self._recent)
        if not steps:
            return None
        return sum(entry[1] for entry in self._recent) / steps * max(self._total - self._step, 0)

    @contextlib.contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Time what is done inside separately from training.

        Args:
            what: a short name, the same for the same thing: "saving", "evaluating".
        """
        begun = self._clock()
        try:
            yield
        finally:
            now = self._clock()
            self.apart_seconds[what] = self.apart_seconds.get(what, 0.0) + now - begun
            self._mark += now - begun

    def evaluating(self, batches: Iterable[T], *, total: int, what: str = "evaluating") -> Iterator[T]:
        """The batches of an evaluation, with a bar of their own that goes away when they are through."""
        with self.apart("evaluating"):
            if not self._is_live:
                if self._enabled:
                    self.message(f"{what}: {total} batches")
                yield from batches
                return
            with tqdm(batches, total=total, desc=f"{what} ", file=self._stream, leave=False, dynamic_ncols=True) as bar:
                yield from bar

    def message(self, text: str) -> None:
        """Show one line above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        elif self._enabled:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the bar as it stands and give the terminal back; may be called twice."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._stack.close()

    def _describe(self, learning_rate: float | None, epoch: float | None) -> str:
        parts = []
        if epoch is not None:
            parts.append(f"epoch {epoch:.2f}")
        if self._loss is not None:
            parts.append(f"loss {self._loss:.4f}")
        if learning_rate is not None:
            parts.append(f"lr {learning_rate:.2e}")
        if (speed := self.samples_per_second) is not None:
            parts.append(f"{speed:.1f} samples/s")
        if (left := self.seconds_left) is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def _tell(self, text: str, now: float) -> None:
        is_last = self._step >= self._total
        if self._bar is not None:
            self._bar.n = self._step
            if self._told_at is None or now - self._told_at >= _REDRAW_SECONDS or is_last:
                self._told_at = now
                self._show(text)
        elif self._told_at is None or now - self._told_at >= self._plain_seconds or is_last:
            self._told_at = now
            self.message(f"step {self._step}/{self._total}: {text}")

    def _show(self, text: str) -> None:
        assert self._bar is not None
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.refresh()


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(8.2), duration(75), duration(3725)
    ('8s', '1m15s', '1h02m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
