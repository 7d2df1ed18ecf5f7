"""Keeping what a run measured: metrics.jsonl, and TensorBoard events."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from bert_ms.compat import require
from bert_ms.errors import DataError, DependencyError, TrainingError
from bert_ms.training.files import write_file

_log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
TRAIN, EVAL = "train", "eval"


class MetricsSink(Protocol):
    """Where measurements go."""

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Keep what was measured at a step.

        Args:
            kind: "train" (epoch, loss, learning_rate, grad_norm, loss_scale, samples_per_second, seconds) or
                "eval" (the scores, epoch, seconds).
            step: optimiser steps done.
            values: numbers by name; None for what is not known.
        """

    def close(self) -> None:
        """Finish writing."""


class MetricsLog:
    """metrics.jsonl: one JSON object a line, on disk as soon as it is written.

    A resumed run continues the file from the step of its checkpoint: later lines, which the interrupted run had still
    written, are dropped, for these steps will be done again. A line that is there already (an evaluation that ran
    before the checkpoint of the same step) is not written twice.

    Args:
        path: of the file; its directory is made if it is not there.
        resume_step: step of the checkpoint that the run goes on from; None begins a new file.

    Raises:
        TrainingError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, resume_step: int | None = None):
        self._path = Path(path)
        kept = [] if resume_step is None else [line for line in read_metrics(path) if line["step"] <= resume_step]
        self._there = {(line["kind"], line["step"]) for line in kept}
        write_file(self._path, "".join(map(_line, kept)))
        self._file = self._path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Append one line; see `MetricsSink.write`.

        Raises:
            TrainingError: the disk is full or gone.
        """
        if (kind, step) in self._there:
            return
        self._there.add((kind, step))
        try:
            self._file.write(_line({"kind": kind, "step": step, **values}))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be written: {error.strerror or error}.") from None

    def close(self) -> None:
        """Close the file; may be called twice."""
        with suppress(OSError):  # each line was flushed, or its error raised, when it was written
            self._file.close()


class TensorBoardLog:
    """TensorBoard events, one chart a value; on resuming, what was written after the checkpoint's step is hidden.

    Args:
        directory: of the event files.
        resume_step: step of the checkpoint that the run goes on from; None for a new run.

    Raises:
        DependencyError: tensorboardX is not installed.
    """

    def __init__(self, directory: str | Path, *, resume_step: int | None = None):
        # Not its SummaryWriter: that one writes in a thread, which a full disk kills, and then waits for it for ever.
        parts = [f"tensorboardX{part}" for part in ("", ".event_file_writer", ".summary", ".proto.event_pb2")]
        _, files, summary, self._events = (require(part, purpose="write TensorBoard events") for part in parts)
        self._scalar = summary.scalar
        self._directory = Path(directory)
        self._writer: Any = None
        with self._giving_up():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._writer = files.EventsWriter(str(self._directory / "events"))
            if resume_step is not None:
                start = self._events.SessionLog(status=self._events.SessionLog.START)
                self._add(self._events.Event(wall_time=time.time(), step=resume_step + 1, session_log=start))
            self._writer.flush()

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add one point to the chart of each number; see `MetricsSink.write`."""
        with self._giving_up():
            for name, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                    point = self._scalar(f"{kind}/{name}", value)
                    self._add(self._events.Event(wall_time=time.time(), step=step, summary=point))
            if self._writer is not None:
                self._writer.flush()

    def close(self) -> None:
        """Flush and close the event file; may be called twice."""
        with self._giving_up():
            if self._writer is not None:
                self._writer.close()
        self._writer = None

    def _add(self, event: Any) -> None:
        if self._writer is not None:
            self._writer.write_event(event)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Events are a convenience: what cannot be written of them does not end the run."""
        try:
            yield
        except OSError as error:
            writer, self._writer = self._writer, None
            with suppress(OSError, AttributeError):  # there may be none yet
                writer.close()
            _log.warning("no more TensorBoard events: %s: %s", self._directory, error.strerror or error)


def open_sinks(
    run_directory: str | Path, *, resume_step: int | None = None, tensorboard: bool = True
) -> list[MetricsSink]:
    """The sinks of a run: metrics.jsonl, and TensorBoard events where tensorboardX is installed.

    Args:
        run_directory: the run folder.
        resume_step: step of the checkpoint that the run goes on from; None for a new run.
        tensorboard: write events; if tensorboardX is missing, a warning says so and the run goes on without.
    """
    folder = Path(run_directory)
    sinks: list[MetricsSink] = [MetricsLog(folder / METRICS, resume_step=resume_step)]
    if tensorboard:
        try:
            sinks.append(TensorBoardLog(folder / TENSORBOARD, resume_step=resume_step))
        except DependencyError as error:
            _log.warning("no TensorBoard events: %s Or set training.tensorboard=false.", error)
    return sinks


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; none if there is no such file.

    A last line that was cut off by a kill is left out.

    Raises:
        DataError: another line is not what this module writes.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if not isinstance(entry["step"], int) or not isinstance(entry["kind"], str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            if number == len(lines) and not line.endswith("\n"):
                break
            raise DataError(f"{path}, line {number} is not a line of metrics: {line.strip()[:80]!r}.") from None
        found.append(entry)
    return found


def _line(entry: Mapping[str, Any]) -> str:
    """JSON has no NaN or infinity: null stands for them."""
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
    return json.dumps(plain, ensure_ascii=False) + "\n"
