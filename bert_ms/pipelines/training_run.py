"""Training from one configuration, from its files to the finished run folder."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError, TrainingError, unknown
from bert_ms.pipelines.conclusion import Concluded, conclude
from bert_ms.pipelines.evaluator import Evaluator
from bert_ms.pipelines.loading import (
    OpenedModel,
    data_file,
    load_learner,
    load_objective,
    load_work,
    needed_file,
    open_model,
)
from bert_ms.pipelines.results import ALREADY, TERMINATED, RunResult
from bert_ms.pipelines.runners import CellRunner
from bert_ms.records import INPUT_NAMES
from bert_ms.tasks import Task
from bert_ms.tasks.work import Prepared
from bert_ms.tokenization import Tokenizer
from bert_ms.training.agenda import Agenda
from bert_ms.training.distributed import Distributed
from bert_ms.training.events import Hook
from bert_ms.training.folder import RunFolder
from bert_ms.training.lock import run_lock
from bert_ms.training.objective_check import objective_problems
from bert_ms.training.recorder import Recorder
from bert_ms.training.run_log import kept_log
from bert_ms.training.session import Session, start
from bert_ms.training.signals import StopRequest, stop_on_signals
from bert_ms.training.state import CheckpointStore, ResumePoint
from bert_ms.training.trainer import INTERRUPTED, Interrupted, MicroBatches, Outcome, Trainer, best_weights

if TYPE_CHECKING:  # it imports MindSpore
    from bert_ms.training.updater import Updater

logger = logging.getLogger(__name__)

LOG = "train.log"


def train(config: RunConfig, *, resume: bool = True, hooks: Sequence[Hook] = ()) -> RunResult:
    """Fine-tune, evaluate, and leave a run folder; an unfinished run in that folder is continued.

    Args:
        config: of the run.
        resume: False starts the folder over.
        hooks: functions to call after every so many optimiser steps.

    Raises:
        ConfigError: a value cannot be used, or the folder holds a run with another configuration.
        TrainingError: the folder is in use by another process, or the run cannot go on.
    """
    if config.seeds:
        raise ConfigError(f"seeds is {list(config.seeds)}: several runs are made of it by `runs.train_seeds`.")
    task = tasks.get(config.task)
    train_file, eval_file = needed_file(config, "train_file", "train"), data_file(config, "eval_file")
    config = resolved(config, task)
    folder = RunFolder(Path(config.output_dir).expanduser())
    folder.check_place()
    if resume:
        folder.check(config)
        if (found := folder.result()) is not None:
            logger.info("%s holds this run, finished: nothing is left to do (--fresh starts it over)", folder.path)
            return RunResult.of(folder.path, {**found, "status": ALREADY})
    opened = open_model(config)
    with stop_on_signals() as stop, ExitStack() as stack:
        write_log = stack.enter_context(kept_log())
        session = start(config)
        is_main = session.distributed.is_main
        has_lock = is_main and folder.path.exists()  # another run may be in it: find out before anything long is done
        if has_lock:
            stack.enter_context(run_lock(folder.path))
        run = _Run(config, task, folder, session, stop, tuple(hooks))
        loaded = run.load(opened, train_file, eval_file)
        del opened  # it maps the file of the weights
        if is_main:  # only now that what was given is known to be good: its correction must find the folder free
            if not has_lock:
                stack.enter_context(run_lock(folder.path))
            if not resume:
                folder.clear()
            folder.check(config)
            folder.claim(config)
            write_log(folder.path / LOG)
        return run.to_the_end(loaded)


def resolved(config: RunConfig, task: Task) -> RunConfig:
    """The configuration with what the task decides filled in.

    Raises:
        ConfigError: the task has no score of the name that training.metric gives, or not the loss that is to be
            reshaped.
    """
    problems = list(objective_problems(config, task))
    if problems:
        raise ConfigError(problems)
    metric = config.training.metric
    if metric is not None and task.metrics and metric not in task.metrics:
        raise ConfigError(unknown("training.metric", metric, task.metrics))
    if metric is not None:
        return config
    metric = (task.load("work").metric(config) if task.work is not None else None) or task.metric
    return dataclasses.replace(config, training=dataclasses.replace(config.training, metric=metric))


@dataclass(frozen=True)
class _Loaded:
    """All that a run is made of, in memory."""

    tokenizer: Tokenizer
    training: Prepared
    batches: MicroBatches
    evaluator: Evaluator | None
    network: Any
    updater: Updater


@dataclass(frozen=True)
class _Run:
    """One training run in this process."""

    config: RunConfig
    task: Task
    folder: RunFolder
    session: Session
    stop: StopRequest
    hooks: tuple[Hook, ...]

    def load(self, opened: OpenedModel, train_file: Path, eval_file: Path | None) -> _Loaded:
        """Read and check everything that was given; nothing is written."""
        from bert_ms.training.updater import Updater

        config, workers = self.config, self.session.distributed
        work = load_work(config, opened)
        training = work.prepare(train_file, "train")
        evaluation = None if eval_file is None else work.prepare(eval_file, "evaluate")
        batches = work.batches(
            training,
            batch_size=config.training.batch_size,
            seed=config.seed,
            rank=workers.rank,
            size=workers.size,
        )
        steps = Agenda(config.training, batches.per_epoch).total_steps
        network = load_learner(config, opened, work)
        if workers.size > 1:
            workers.check_equal({p.name: p.asnumpy() for p in network.get_parameters()})
        evaluator = None
        if evaluation is not None:
            runner = CellRunner(network, self.task, precision=config.precision.dtype)
            evaluator = Evaluator(runner, self.task, work, evaluation, config, distributed=workers, stop=self.stop)
        minimised = load_objective(network, self.task, config, training)
        updater = Updater(minimised, config, total_steps=steps, unused=self.task.unused, distributed=workers)
        return _Loaded(opened.tokenizer, training, batches, evaluator, network, updater)

    def to_the_end(self, loaded: _Loaded) -> RunResult:
        """Train and conclude."""
        evaluator = loaded.evaluator
        with self._recorder() as recorder:
            trainer = self._trainer(loaded, recorder)
            outcome = trainer.run(self.stop)
            if outcome.reason == INTERRUPTED:
                return self._interrupted(outcome)
            try:
                _take_best(trainer, evaluator, recorder, outcome)
            except Interrupted:
                return self._interrupted(outcome)
            seconds = recorder.seconds()
        if not self.session.distributed.is_main:
            known = {"status": outcome.reason, "steps": outcome.step, "best_step": outcome.best_step}
            return RunResult.of(self.folder.path, known)
        concluded = Concluded(
            config=self.config,
            folder=self.folder,
            network=loaded.network,
            tokenizer=loaded.tokenizer,
            outcome=outcome,
            training=loaded.training,
            learning=sum(parameter.size for parameter in loaded.updater.optimizer.parameters),
            evaluator=evaluator,
            seconds=seconds,
            device=self.session.device,
            workers=self.session.distributed.size,
        )
        return RunResult.of(self.folder.path, conclude(concluded))

    def _trainer(self, loaded: _Loaded, recorder: Recorder) -> Trainer:
        """The loop, set back to the newest checkpoint if there is one."""
        config, workers, evaluator = self.config, self.session.distributed, loaded.evaluator
        store = CheckpointStore(self.folder.checkpoints, keep_last=config.training.keep_last)
        trainer = Trainer(
            loaded.updater,
            loaded.batches,
            (*INPUT_NAMES, *self.task.labels),
            config,
            store,
            evaluate=evaluator,
            keep=None if evaluator is None else lambda step: evaluator.keep(store.directory, step),
            metric=config.training.metric,
            recorder=recorder,
            distributed=workers,
        )
        for hook in self.hooks:
            trainer.add_hook(hook.function, every=hook.every)
        if workers.is_main:
            store.clean()
        workers.barrier()
        point = _newest(store, workers)
        if point is not None:
            logger.info("going on from %s", point.path)
            trainer.restore(point)
        return trainer

    def _recorder(self) -> Recorder:
        if not self.session.distributed.is_main:
            return Recorder()
        training = self.config.training
        return Recorder(self.folder.path, is_shown=True, log_every=training.log_every, tensorboard=training.tensorboard)

    def _interrupted(self, outcome: Outcome) -> RunResult:
        path = self.folder.path
        logger.warning("interrupted after step %d; the same command goes on from there (%s)", outcome.step, path)
        return RunResult(
            status=INTERRUPTED,
            folder=path,
            steps=outcome.step,
            best_step=outcome.best_step,
            metric=self.config.training.metric,
            exit_status=self.stop.exit_status or TERMINATED,
        )


def _newest(store: CheckpointStore, workers: Distributed) -> ResumePoint | None:
    """The checkpoint to go on from, the same for all workers."""
    point = store.latest()
    steps = [int(each[0]) for each in workers.gather(np.array([-1 if point is None else point.step], np.int64))]
    if len(set(steps)) > 1:
        raise TrainingError(
            f"workers see different newest checkpoints in {store.directory} (steps {steps}, -1 is none): "
            f"output_dir must be the same shared folder on every machine."
        )
    return point


def _take_best(trainer: Trainer, evaluator: Evaluator | None, recorder: Recorder, outcome: Outcome) -> None:
    """Put the best weights back into the network, and their predictions into the evaluator."""
    from safetensors.numpy import load_file

    from bert_ms.training.updater import set_parameters

    if evaluator is None:
        return
    path = best_weights(trainer.store)
    if path is not None:
        set_parameters(trainer.updater.parameters, load_file(path))
    is_known = evaluator.recall(trainer.store.directory, outcome.best_step)
    if not trainer.distributed.all(is_known):
        evaluator.run(recorder)
