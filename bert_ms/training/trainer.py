"""The train loop: when to update, evaluate, save and stop; the same after an interruption as without one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError, TrainingError
from bert_ms.records import ATTENTION_MASK
from bert_ms.training.agenda import Agenda
from bert_ms.training.distributed import Distributed
from bert_ms.training.events import EvaluationReport, Hook, RunPlan, StepReport
from bert_ms.training.recorder import Recorder
from bert_ms.training.session import made_with
from bert_ms.training.signals import StopRequest
from bert_ms.training.state import CheckpointStore, ResumePoint, write_arrays

if TYPE_CHECKING:  # it imports MindSpore
    from bert_ms.training.updater import Updater

logger = logging.getLogger(__name__)

LOWER_IS_BETTER = frozenset({"loss", "mse", "perplexity"})
BEST = "best/model.safetensors"

FINISHED, STOPPED_EARLY, INTERRUPTED = "finished", "stopped early", "interrupted"


class MicroBatches(Protocol):
    """Training data as the loop needs it (see `data.loader.Batches`): the same batches in the same order always."""

    fingerprint: str
    per_epoch: int

    def starting_at(self, position: int) -> Iterator[dict[str, np.ndarray]]:
        """Arrays by column, for ever, from micro-batch `position` of the whole run on."""


class Interrupted(Exception):
    """An evaluation was left because the process was asked to stop."""


# Scores by name of the network as it is; progress is shown through the recorder. Raises Interrupted.
Evaluate = Callable[[Recorder], Mapping[str, float]]


@dataclass(frozen=True)
class Outcome:
    """How the loop ended.

    Attributes:
        reason: finished, stopped early or interrupted.
        step: optimiser steps done.
        best_step: after which the best weights were found; None when nothing was evaluated.
        evaluations: each one's step, epoch and scores, oldest first.
    """

    reason: str
    step: int
    best_step: int | None
    evaluations: tuple[Mapping[str, Any], ...]


@dataclass
class _Position:
    """What of the loop's state is saved, beside the updater's."""

    step: int = 0
    last_evaluated: int = -1
    best_step: int | None = None
    best_score: float | None = None
    evaluations_without_gain: int = 0
    samples: int = 0


class Trainer:
    """Runs an `Updater` over data to the end, or until it is asked to stop.

    Args:
        updater: takes the steps.
        batches: the training data.
        columns: of a batch, in the order of the network's arguments.
        config: the run's.
        store: where checkpoints to resume from go; the best weights go to `best/model.safetensors` in its directory.
        evaluate: scores the network as it is; None trains without evaluation.
        keep: called after an evaluation that was the best so far, to keep what it found.
        metric: decides which weights are best.
        recorder: shows and keeps what happens; None does neither.
        distributed: this process among those that train together; rank 0 writes.
    """

    def __init__(
        self,
        updater: Updater,
        batches: MicroBatches,
        columns: Sequence[str],
        config: RunConfig,
        store: CheckpointStore,
        *,
        evaluate: Evaluate | None = None,
        keep: Callable[[int], None] | None = None,
        metric: str | None = None,
        recorder: Recorder | None = None,
        distributed: Distributed | None = None,
    ):
        self.updater, self.batches, self.columns, self.store = updater, batches, tuple(columns), store
        self.config, self.training = config, config.training
        self.evaluate, self.keep = evaluate, keep
        self.metric, self.recorder = metric, recorder or Recorder()
        self.distributed = distributed or Distributed()
        self.agenda = Agenda(config.training, batches.per_epoch, has_evaluation=evaluate is not None)
        self.position = _Position()
        self.evaluations: list[dict[str, Any]] = []
        self.hooks: list[Hook] = []
        self._saved = -1
        self._is_resumed = False

    def add_hook(self, function: Callable[[StepReport], None], *, every: int = 1) -> None:
        """Call a function after every n-th optimiser step."""
        if every < 1:
            raise ConfigError(f"a hook's every is {every}: expected at least 1.")
        self.hooks.append(Hook(function, every))

    def restore(self, point: ResumePoint) -> None:
        """Go on from a checkpoint.

        Raises:
            TrainingError: it was made with other data, or another network.
        """
        state = point.state
        if state["data"] != self._data_state():
            raise TrainingError(
                f"{point.path} was made with other training data or batches ({state['data']}, now "
                f"{self._data_state()}): restore the data, or start anew in another output_dir."
            )
        self.updater.restore({name: point.arrays(name) for name in ("model", "optimizer")}, state["updater"])
        self.position = _Position(**state["position"])
        self.evaluations = list(state["evaluations"])
        self._saved = self.position.step
        self._is_resumed = True
        now = made_with()
        before = state.get("made_with", now)
        changed = [f"{name} {before.get(name)}, now {new}" for name, new in now.items() if before.get(name) != new]
        if changed:
            logger.warning("%s was made with %s: the end may differ in the last digits", point.path, "; ".join(changed))
        self.recorder.count_before(state["seconds"])

    def run(self, stop: StopRequest | None = None) -> Outcome:
        """Train to the end.

        Args:
            stop: looked at after each step and during evaluation.

        Raises:
            TrainingError: the run cannot go on, see `Updater.update` and `CheckpointStore.save`.
        """
        stop = stop if stop is not None else StopRequest()
        self.recorder.started(self._plan())
        batches = self.batches.starting_at(self.position.step * self.training.accumulate)
        try:
            reason = self._loop(batches, stop)
        except Interrupted:  # the step was saved before the evaluation
            reason = INTERRUPTED
        return Outcome(reason, self.position.step, self.position.best_step, tuple(self.evaluations))

    def _loop(self, batches: Iterator[dict[str, np.ndarray]], stop: StopRequest) -> str:
        position = self.position
        while True:
            is_evaluated = self._evaluate_if_due()
            is_over = position.step >= self.agenda.total_steps
            patience = self.training.patience
            is_stale = patience is not None and position.evaluations_without_gain >= patience
            is_stopping = self.distributed.any(bool(stop))
            if self._is_save_due(is_evaluated, is_over or is_stale or is_stopping):
                self._save()
            if is_over or is_stale:
                return FINISHED if is_over else STOPPED_EARLY
            if is_stopping:
                return INTERRUPTED
            self._step(batches)

    def _step(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        start = time.perf_counter()
        taken = [next(batches) for _ in range(self.training.accumulate)]
        loading = time.perf_counter() - start
        micro_batches = [[batch[column] for column in self.columns] for batch in taken]
        update = self.updater.update(self.position.step, micro_batches, on_compile=self.recorder.compiling)
        samples = sum(len(arrays[0]) for arrays in micro_batches) * self.distributed.size
        self.position.step += 1
        self.position.samples += samples
        report = StepReport(
            step=self.position.step,
            epoch=self.agenda.epoch(self.position.step),
            loss=update.loss,
            learning_rate=update.learning_rate,
            grad_norm=update.grad_norm,
            loss_scale=update.loss_scale,
            is_skipped=update.is_skipped,
            samples=samples,
            tokens=sum(int(batch[ATTENTION_MASK].sum()) for batch in taken if ATTENTION_MASK in batch),
            seconds=update.seconds + loading,
            is_compiling=update.is_compiling,
        )
        self.recorder.stepped(report)
        for hook in self.hooks:
            if report.step % hook.every == 0:
                hook.function(report)

    def _evaluate_if_due(self) -> bool:
        """Evaluate, unless this step needs none or, before an interruption, had one. Whether it was done."""
        step = self.position.step
        if self.evaluate is None or step == self.position.last_evaluated:
            return False
        if not self.agenda.evaluates_after(step):
            return False
        if step > 0 and self._saved != step:
            self._save()  # an evaluation can be long: what was trained should not be lost in it
        start = time.perf_counter()
        scores = dict(self.evaluate(self.recorder))
        is_best = self._judge(scores)
        self.position.last_evaluated = step
        report = EvaluationReport(
            step=step,
            epoch=self.agenda.epoch(step),
            scores=scores,
            seconds=time.perf_counter() - start,
            is_best=is_best,
        )
        self.evaluations.append({"step": step, "epoch": report.epoch, "scores": scores})
        self.recorder.evaluated(report)
        return True

    def _judge(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores are the best so far; if so, keep the weights."""
        position = self.position
        if self.metric is None or self.metric not in scores:
            raise ConfigError(f"training.metric is '{self.metric}', but the scores are {', '.join(sorted(scores))}.")
        score, best = float(scores[self.metric]), position.best_score
        is_best = best is None or (score < best if self.metric in LOWER_IS_BETTER else score > best)
        if is_best:
            position.best_score, position.best_step, position.evaluations_without_gain = score, position.step, 0
            if self.distributed.is_main:
                facts = {"step": str(position.step), self.metric: repr(score)}
                write_arrays(self.store.directory / BEST, self.updater.arrays()["model"], facts)
                if self.keep is not None:
                    self.keep(position.step)
        elif position.step > 0:
            position.evaluations_without_gain += 1
        return is_best

    def _is_save_due(self, is_evaluated: bool, is_leaving: bool) -> bool:
        if is_evaluated:  # what it found belongs to the state
            return True
        step = self.position.step
        return self._saved != step and step > 0 and (is_leaving or self.agenda.saves_after(step))

    def _save(self) -> None:
        self._saved = self.position.step
        if not self.distributed.is_main:
            return
        state = {
            "position": asdict(self.position),
            "evaluations": self.evaluations,
            "updater": self.updater.state(),
            "data": self._data_state(),
            "seconds": self.recorder.seconds(),
            "made_with": made_with(),
        }
        with self.recorder.saving():
            path = self.store.save(self.position.step, self.updater.arrays(), state)
        self.recorder.note(f"step {self.position.step}: saved {path}")

    def _data_state(self) -> dict[str, Any]:
        return {"fingerprint": self.batches.fingerprint, "per_epoch": self.batches.per_epoch}

    def _plan(self) -> RunPlan:
        return RunPlan(
            total_steps=self.agenda.total_steps,
            steps_per_epoch=self.agenda.steps_per_epoch,
            first_step=self.position.step,
            is_resumed=self._is_resumed,
            samples_per_step=self.training.batch_size * self.training.accumulate * self.distributed.size,
            metric=self.metric if self.evaluate is not None else None,
        )


def best_weights(store: CheckpointStore) -> Path | None:
    """The file with the best weights, if an evaluation has found any."""
    path = store.directory / BEST
    return path if path.is_file() else None
