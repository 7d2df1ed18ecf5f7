"""From the train loop's events to the progress bar, metrics.jsonl and TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO, TypeVar

from bert_ms.training.events import EvaluationReport, RunPlan, StepReport
from bert_ms.training.metrics_log import EVAL, TRAIN, MetricsSink, open_sinks
from bert_ms.training.progress import ProgressReporter

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Recorder:
    """Shows and keeps what a run does; used as a context manager around the loop.

    Args:
        folder: the run folder, for metrics.jsonl and TensorBoard events; None keeps nothing (other ranks, tests).
        is_shown: show progress.
        log_every: optimiser steps between lines of metrics.jsonl.
        tensorboard: also write TensorBoard events.
        stream: where progress is shown; None is standard error.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        is_shown: bool = False,
        log_every: int = 10,
        tensorboard: bool = False,
        stream: TextIO | None = None,
    ):
        self._folder, self._is_shown, self._log_every = folder, is_shown, log_every
        self._tensorboard, self._stream = tensorboard, stream
        self._sinks: list[MetricsSink] = []
        self._total_steps = 0
        self._seconds_before: dict[str, float] = {}
        self.progress: ProgressReporter | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def started(self, plan: RunPlan) -> None:
        """Before the first step: open the files, and forget what they hold of steps that will be done again."""
        self._total_steps = plan.total_steps
        if self._folder is not None:
            resume_step = plan.first_step if plan.is_resumed else None
            self._sinks = open_sinks(self._folder, resume_step=resume_step, tensorboard=self._tensorboard)
        self.progress = ProgressReporter(
            total_steps=plan.total_steps, start_step=plan.first_step, stream=self._stream, enabled=self._is_shown
        )
        self.progress.__enter__()
        went_on = f", going on after step {plan.first_step}" if plan.is_resumed else ""
        logger.info(
            "training: %d steps of %d samples, %.1f steps an epoch%s",
            plan.total_steps, plan.samples_per_step, plan.steps_per_epoch, went_on,
        )  # fmt: skip

    def compiling(self, shape: Sequence[int]) -> None:
        """Before a step whose shape is new."""
        if self.progress is not None:
            self.progress.compiling(shape)

    def stepped(self, report: StepReport) -> None:
        """After each optimiser step."""
        assert self.progress is not None
        self.progress.step(
            report.step,
            loss=report.loss,
            learning_rate=report.learning_rate,
            samples=report.samples,
            epoch=report.epoch,
        )
        if report.step % self._log_every == 0 or report.step in (1, self._total_steps):
            values = {
                "epoch": round(report.epoch, 6),
                "loss": report.loss,
                "learning_rate": report.learning_rate,
                "grad_norm": report.grad_norm,
                "loss_scale": report.loss_scale,
                "samples_per_second": self.progress.samples_per_second,
                "seconds": report.seconds,
            }
            for sink in self._sinks:
                sink.write(TRAIN, report.step, values)

    def evaluating(self, batches: Iterable[T], total: int) -> Iterator[T]:
        """The batches of an evaluation, with progress shown."""
        return iter(batches) if self.progress is None else self.progress.evaluating(batches, total=total)

    def evaluated(self, report: EvaluationReport) -> None:
        """After each evaluation."""
        for sink in self._sinks:
            sink.write(EVAL, report.step, {"epoch": report.epoch, **report.scores, "seconds": report.seconds})
        scores = ", ".join(f"{name} {value:.4g}" for name, value in report.scores.items())
        self.note(f"step {report.step}: {scores}{' (best so far)' if report.is_best else ''}")

    def saving(self) -> AbstractContextManager[None]:
        """Around the writing of a checkpoint."""
        return nullcontext() if self.progress is None else self.progress.apart("saving")

    def show_alone(self) -> None:
        """Show the progress of an evaluation that belongs to no training."""
        self.progress = ProgressReporter(total_steps=0, stream=self._stream, enabled=self._is_shown)

    def seconds(self) -> dict[str, float]:
        """Where the time went, by name; in a resumed run that of the processes before is in it."""
        now = dict(self._seconds_before)
        if self.progress is not None:
            spent = {"training": self.progress.train_seconds, "compiling": self.progress.compile_seconds}
            for name, value in (spent | self.progress.apart_seconds).items():
                now[name] = now.get(name, 0.0) + value
        return now

    def count_before(self, seconds: Mapping[str, float]) -> None:
        """Add what `seconds` of an interrupted run said."""
        self._seconds_before = dict(seconds)

    def note(self, text: str) -> None:
        """Show a line without disturbing the bar, and log it."""
        logger.info(text)

    def close(self) -> None:
        """Close the bar and the files."""
        if self.progress is not None:
            self.progress.close()
        for sink in self._sinks:
            sink.close()
        self._sinks = []
